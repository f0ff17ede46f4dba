"""What the tests share: forks, a stand-in for GitHub and for AWS, inputs, ports."""

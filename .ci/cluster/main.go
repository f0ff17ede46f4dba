// Command hyperkube holds every program a one-node Kubernetes needs in one file, so that
// what they share is compiled and linked once. `hyperkube NAME FLAGS` runs the one named.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as upstream's own main packages register them
	"k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllers.NewControllerManagerCommand,
	"kube-proxy":              proxy.NewProxyCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":                 cmd.NewDefaultKubectlCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"cluster-dns":             newDNSCommand,
}

func main() {
	if len(os.Args) < 2 {
		fatal("usage: hyperkube NAME FLAGS")
	}
	os.Args = os.Args[1:]
	switch name := os.Args[0]; {
	case name == "etcd":
		etcdmain.Main(os.Args)
	case programs[name] != nil:
		os.Exit(cli.Run(programs[name]()))
	default:
		fatal("hyperkube has no program " + name)
	}
}

func fatal(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

# Completes verbs, options and environments of ./pipeline in bash and zsh: `source scripts/completion.sh` in ~/.bashrc or ~/.zshrc.
# Reads the folders themselves: a verb is a file of scripts/, an environment a folder of k8s/overlays.
[ -z "${ZSH_VERSION-}" ] || { autoload -U +X bashcompinit && bashcompinit; }

_pipeline() {
  local word=${COMP_WORDS[COMP_CWORD]} root words
  root=$(dirname "$(realpath "${COMP_WORDS[0]/#\~/$HOME}")")
  if [ "$COMP_CWORD" = 1 ]; then
    words=$(cd "$root/scripts" && ls [!_]*.py steps/[!_]*.py | sed 's|.*/||; s|\.py$||; s|_|-|g')
  elif [ "${word#-}" != "$word" ]; then
    words="--help $(cd "$root/scripts" && cat {.,steps}/"$(echo "${COMP_WORDS[1]}" | tr - _)".py 2>/dev/null | grep -o '"--[a-z-]*"' | tr -d '"')"
  else
    words="local $(ls "$root/k8s/overlays")"
  fi
  # shellcheck disable=SC2207 # the words hold no spaces
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _pipeline pipeline ./pipeline

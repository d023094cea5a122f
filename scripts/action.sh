#!/usr/bin/env bash
# What the steps of action.yml run; it runs anywhere. Inputs come by the environment and are never part of the code.
#
#   action.sh install   XAI_AUDIT_INSTALL (this: the action's own checkout; none; or a pip requirement), XAI_AUDIT_EXTRAS
#   action.sh audit     XAI_AUDIT_SPEC, XAI_AUDIT_OUT, XAI_AUDIT_SET, XAI_AUDIT_POLICY, XAI_AUDIT_BASELINE,
#                       XAI_AUDIT_FORMATS, XAI_AUDIT_FAIL_ON
#
# The audit goes into OUT, and what the gate says of it into OUT-gate. The exit code is the gate's: 0 pass, 1 fail,
# 3 review; 2 and 4 where it could not run. XAI_AUDIT_FAIL_ON=fail lets review through, never lets fail through too.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# One workflow command; its message ends nothing and begins nothing.
annotate() {
  local text=$2
  text=${text//'%'/%25}
  text=${text//$'\r'/%0D}
  printf '::%s title=xai-audit::%s\n' "$1" "${text//$'\n'/%0A}"
}

refuse() {
  annotate error "$1"
  exit 2
}

# Run a command that prints names and the words of models: the runner takes no workflow command from it.
hushed() {
  local token
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  echo "::stop-commands::$token"
  code=0
  "$@" 2>&1 | tee "$log" || code=${PIPESTATUS[0]}
  echo "::$token::"
}

output() {
  if [ -n "${GITHUB_OUTPUT:-}" ]; then printf '%s=%s\n' "$1" "$2" >> "$GITHUB_OUTPUT"; fi
}

summarise() {
  if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then cat >> "$GITHUB_STEP_SUMMARY"; else cat > /dev/null; fi
}

# The path, where there is such a file.
there() {
  if [ -f "$1" ]; then echo "$1"; fi
}

install() {
  local python what=${XAI_AUDIT_INSTALL:-this} extras=${XAI_AUDIT_EXTRAS:-} options=()
  if [ "$what" = none ]; then
    command -v xai-audit > /dev/null || refuse "install: none was asked, and there is no xai-audit on the PATH"
    return
  fi
  python=$(command -v python3 || command -v python) || refuse "there is no Python here; set python-version"
  case $extras in *[!A-Za-z0-9,_-]*) refuse "extras: names with commas are asked, as onnx,boosting" ;; esac
  if [ "$what" = this ]; then
    what=$(dirname "$here")${extras:+[$extras]}
  elif [ -n "$extras" ]; then
    refuse "extras: goes with the action's own version; write them into the requirement, as xai-audit[$extras]==1.0"
  fi
  case $extras in
    *torch* | *transformers* | *all*) read -r -a options <<< "$("$python" "$here/torch_index.py")" || true ;;
  esac
  "$python" -m pip install --disable-pip-version-check --quiet ${options[@]+"${options[@]}"} -- "$what"
  "$python" -c 'import weasyprint' 2> /dev/null || sh "$here/pango.sh"
}

# The audit could not run: say why in the summary and beside it, and stop.
failed() {
  {
    echo "# xai-audit: could not run"
    echo
    echo "The last of what it said:"
    echo
    tail -n 40 "$log" | cut -c 1-500 | sed 's/^/    /'
    echo
  } | summarise
  annotate error "$(tail -n 10 "$log" | cut -c 1-500)"
  output outcome error
  output exit-code "$1"
  exit "$1"
}

# What a pipeline is told of each outcome; the code of anything else says that the audit could not run.
outcome_of() {
  case $1 in 0) echo pass ;; 1) echo fail ;; 3) echo review ;; esac
}

audit() {
  local spec=${XAI_AUDIT_SPEC:-} out=${XAI_AUDIT_OUT:-out} formats=${XAI_AUDIT_FORMATS:-} fail_on=${XAI_AUDIT_FAIL_ON:-review}
  local line format gate outcome run=() judge=()
  [ -n "$spec" ] || refuse "spec: the path of a spec is asked"
  case "$spec$out" in *$'\n'*) refuse "spec and output are one path each" ;; esac
  case $fail_on in review | fail | never) ;; *) refuse "fail-on: review, fail or never is asked" ;; esac
  out=${out%/}
  gate=$out-gate
  mkdir -p -- "$gate"
  log=$(mktemp)
  while IFS= read -r line; do if [ -n "$line" ]; then run+=(--set "$line"); fi; done <<< "${XAI_AUDIT_SET:-}"
  while IFS= read -r line; do if [ -n "$line" ]; then judge+=(--policy "$line"); fi; done <<< "${XAI_AUDIT_POLICY:-}"
  if [ -n "${XAI_AUDIT_BASELINE:-}" ]; then judge+=(--baseline "$XAI_AUDIT_BASELINE"); fi
  # The verdict is printed once: by the run, or by the gate where it judges by something else.
  if [ ${#judge[@]} -eq 0 ]; then judge=(--quiet); else run+=(--quiet); fi
  set -f # names of formats, not patterns
  for format in summary github sarif junit ${formats//,/ }; do
    case " ${judge[*]} " in *" $format=$gate/ "*) ;; *) judge+=(--format "$format=$gate/") ;; esac
  done
  set +f

  hushed xai-audit run -o "$out" ${run[@]+"${run[@]}"} -- "$spec"
  [ -n "$(outcome_of "$code")" ] || failed "$code"
  hushed xai-audit gate "${judge[@]}" -- "$out"
  outcome=$(outcome_of "$code")
  [ -n "$outcome" ] || failed "$code"

  summarise < "$gate/summary.md"
  cat -- "$gate/annotations.txt"
  output outcome "$outcome"
  output exit-code "$code"
  output audit "$out/audit.json"
  output report-html "$(there "$out/report.html")"
  output report-pdf "$(there "$out/report.pdf")"
  output summary "$gate/summary.md"
  output sarif "$gate/results.sarif"
  output junit "$gate/junit.xml"
  output gate "$gate"
  case $fail_on-$code in fail-3 | never-1 | never-3) exit 0 ;; *) exit "$code" ;; esac
}

# Code scanning raises an alert for every result, waived or not, so what is uploaded there holds no waived one.
unwaived() {
  local python
  python=$(command -v python3 || command -v python)
  "$python" - "$1" << 'PYTHON'
import json, sys
with open(sys.argv[1], encoding="utf-8") as stream:
    log = json.load(stream)
for run in log["runs"]:
    run["results"] = [result for result in run["results"] if not result.get("suppressions")]
with open(sys.argv[1], "w", encoding="utf-8") as stream:
    json.dump(log, stream, ensure_ascii=False)
PYTHON
}

case ${1:-} in
  install) install ;;
  audit) audit ;;
  unwaived) unwaived "$2" ;;
  *) refuse "action.sh: install, audit or unwaived FILE is asked" ;;
esac

#compdef cliptune
# cliptune completions for zsh; the binary itself says what can stand next.
_cliptune() {
    local line word
    local -a open closed open_shown closed_shown
    for line in ${(f)"$($words[1] complete -- "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"}; do
        word=${line%%$'\t'*}
        # What goes on (a section, a folder, a value) takes no space after it.
        if [[ $word == *[=./,] ]]; then
            open+=("$word"); open_shown+=("${line/$'\t'/  -- }")
        else
            closed+=("$word"); closed_shown+=("${line/$'\t'/  -- }")
        fi
    done
    (( $#open )) && compadd -Q -S '' -l -d open_shown -a open
    (( $#closed )) && compadd -Q -l -d closed_shown -a closed
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _cliptune "$@"; else compdef _cliptune cliptune; fi

# cliptune completions for fish; the binary itself says what can stand next.
function __cliptune_complete
    set -l line (commandline -cp | string collect)
    cliptune complete -- "$line" 2>/dev/null
end
complete -c cliptune -f -a '(__cliptune_complete)'

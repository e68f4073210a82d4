# cliptune completions for PowerShell; the binary itself says what can stand next.
Register-ArgumentCompleter -Native -CommandName cliptune -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString()
    $cursor = $cursorPosition - $commandAst.Extent.StartOffset
    if ($cursor -gt $line.Length) { $line += ' ' } else { $line = $line.Substring(0, $cursor) }
    cliptune complete -- $line 2>$null | ForEach-Object {
        $word, $what = $_ -split "`t", 2
        if (-not $what) { $what = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $what)
    }
}

//! The `cliptune` binary: parse, dispatch, map the result to an exit code.

fn main() -> std::process::ExitCode {
    cliptune::cli::main().into()
}

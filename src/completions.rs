//! What lets a shell complete `jarvis`? A script made from the same tree of commands that reads what was typed.

use crate::cli::{Cli, ShellName};
use crate::failure::Failure;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// The script for a shell.
///
/// # Errors
///
/// One that is no text, which none is.
pub(crate) fn script(shell: ShellName) -> Result<String, Failure> {
    let shell = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "jarvis", &mut script);
    String::from_utf8(script).map_err(|error| Failure::line(format!("the script is no text: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_every_command() {
        for shell in [ShellName::Bash, ShellName::Zsh, ShellName::Fish] {
            let script = script(shell).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
            assert!(script.contains("support-bundle") && script.contains("with-policies"), "{shell:?}");
        }
    }
}

//! The `sandbar` program: arguments in, messages for people out, an exit code at the end. Nothing outside this folder
//! writes to the terminal.

mod conformance;
mod console;
mod embed;
mod failure;
mod files;
mod inspect;
mod lines;
mod logging;
mod manifests;
mod progress;
mod remote;
mod run;
mod schema;
mod status;
mod text;
mod topic;
mod validate;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use failure::{Failure, Outcome};

const EXIT_CODES: &str = "\
Exit codes:
  0    done; for `run`: stopped in good order
  1    the input is not valid, or what was asked for could not be done
  2    the command line was not understood; for `conformance`: the plugin could not be tried
  130  `run` was ended at once by a second Ctrl-C, 143 by a second SIGTERM

Start here:
  sandbar run                        watch ./plugins with the embedded broker
  sandbar status                     see what a running host does
  sandbar validate                   say what is wrong in ./plugins
  sandbar topic read orders          see what is in a topic";

/// Runs Kafka connectors as WebAssembly plugins
///
/// Sandbar watches a folder. Drop a plugin (.wasm) and a connector definition (.json or .toml) into it: the connector is
/// checked, compiled, started in a sandbox of its own, and pumps records between its system and Kafka, exactly once.
///
/// Without a Kafka cluster it uses a broker of its own, which keeps its topics in one file of the data folder.
#[derive(Parser)]
#[command(name = "sandbar", version, after_help = EXIT_CODES, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Status(remote::StatusArgs),
    /// Pause a connector
    ///
    /// Its tasks finish what they have taken up, commit it, and wait. It stays paused, also when the host is started
    /// again, until `sandbar resume`, or until its definition gets another `initial_state`.
    #[command(after_help = "Examples:\n  sandbar pause orders\n  sandbar pause orders --data /var/lib/sandbar")]
    Pause(remote::ConnectorArgs),
    /// Let a connector go on that was paused or stopped
    ///
    /// Its tasks begin where they have committed last.
    #[command(after_help = "Examples:\n  sandbar resume orders")]
    Resume(remote::ConnectorArgs),
    /// Stop a connector
    ///
    /// As `sandbar pause`, with another state: STOPPED says that it is not about to be resumed. Its offsets and its state
    /// stay.
    #[command(after_help = "Examples:\n  sandbar stop orders")]
    Stop(remote::ConnectorArgs),
    Restart(remote::RestartArgs),
    Connectors(remote::ConnectorsArgs),
    Plugins(remote::PluginsArgs),
    Dlq(remote::DlqArgs),
    Logs(remote::LogsArgs),
    Validate(validate::ValidateArgs),
    Inspect(inspect::InspectArgs),
    Embed(embed::EmbedArgs),
    Conformance(conformance::ConformanceArgs),
    Topic(topic::TopicArgs),
    Completions(CompletionsArgs),
}

/// Print a completion script for a shell
///
/// Prints what teaches a shell to complete `sandbar`'s commands and options when you press Tab.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar completions bash > ~/.local/share/bash-completion/completions/sandbar
  sandbar completions zsh > ~/.zfunc/_sandbar
  sandbar completions fish > ~/.config/fish/completions/sandbar.fish")]
struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Runs the program on the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = dispatch(Cli::parse().command);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(&mut io::stderr().lock()),
    }
}

fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Status(args) => remote::status(&args),
        Command::Pause(args) => remote::pause(&args),
        Command::Resume(args) => remote::resume(&args),
        Command::Stop(args) => remote::stop(&args),
        Command::Restart(args) => remote::restart(&args),
        Command::Connectors(args) => remote::connectors(&args),
        Command::Plugins(args) => remote::plugins(&args),
        Command::Dlq(args) => remote::dlq(&args),
        Command::Logs(args) => remote::logs(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Embed(args) => embed::run(&args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Topic(args) => topic::run(args),
        Command::Completions(args) => completions(args.shell),
    }
}

fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sandbar", &mut script);
    print(&script)
}

/// Writes a whole answer to standard output.
fn print(bytes: impl AsRef<[u8]>) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(bytes.as_ref()).and_then(|()| out.flush()).map_err(Failure::output)
}

/// Writes an answer for programs to standard output: indented JSON.
fn print_json(value: &impl serde::Serialize) -> Outcome {
    let mut text = serde_json::to_string_pretty(value).map_err(Failure::new)?;
    text.push('\n');
    print(text)
}

#[cfg(test)]
mod tests {
    //! The command line agrees with itself, and its help is worth reading.

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_and_shows_examples() {
        #[track_caller]
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                let name = sub.get_name();
                assert!(sub.get_long_about().is_some(), "{name} has no long description");
                if sub.get_subcommands().next().is_none() {
                    let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                    assert!(help.contains("Examples:"), "{name} shows no examples");
                }
                for argument in sub.get_arguments() {
                    assert!(argument.get_help().is_some(), "{name} does not explain {}", argument.get_id());
                }
                check(sub);
            }
        }
        check(&Cli::command());
    }
}

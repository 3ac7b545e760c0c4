//! `sandbar pause`, `resume`, `stop` and `restart`.

use clap::Args;
use hyper::Method;

use super::super::failure::Outcome;
use super::HostArgs;
use crate::api::client::Asked;

/// A connector of a host.
#[derive(Args)]
pub(in crate::cli) struct ConnectorArgs {
    /// The connector's name
    connector: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Restart a connector, or one of its tasks
///
/// Its tasks finish what they have taken up, commit it, and begin anew there; one that failed does not wait any longer
/// to be tried again. Versions of its plugins that were rolled back are tried again, too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sandbar restart orders
  sandbar restart orders --only-failed
  sandbar restart orders --task 2")]
pub(in crate::cli) struct RestartArgs {
    /// Only this task
    #[arg(long, value_name = "NUMBER", conflicts_with = "only_failed")]
    task: Option<u32>,
    /// Only the tasks that failed
    #[arg(long)]
    only_failed: bool,
    #[command(flatten)]
    connector: ConnectorArgs,
}

/// Pauses a connector.
pub(in crate::cli) fn pause(args: &ConnectorArgs) -> Outcome {
    args.tell(Method::PUT, &["pause"], None)
}

/// Lets a connector go on.
pub(in crate::cli) fn resume(args: &ConnectorArgs) -> Outcome {
    args.tell(Method::PUT, &["resume"], None)
}

/// Stops a connector.
pub(in crate::cli) fn stop(args: &ConnectorArgs) -> Outcome {
    args.tell(Method::PUT, &["stop"], None)
}

/// Restarts a connector, or one of its tasks.
pub(in crate::cli) fn restart(args: &RestartArgs) -> Outcome {
    match args.task {
        Some(task) => args.connector.tell(Method::POST, &["tasks", &task.to_string(), "restart"], None),
        None => {
            let which = if args.only_failed { "includeTasks=true&onlyFailed=true" } else { "includeTasks=true" };
            args.connector.tell(Method::POST, &["restart"], Some(which))
        }
    }
}

impl ConnectorArgs {
    fn tell(&self, method: Method, what: &[&str], query: Option<&str>) -> Outcome {
        let path = [&["connectors", self.connector.as_str()], what].concat();
        let asked = Asked::new(method, &path);
        self.host.ask(Asked { query: query.map(str::to_owned), ..asked }).map(drop)
    }
}

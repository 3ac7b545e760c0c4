//! What Kafka Connect has no call for: the whole status, logs and traces of tasks, plugins and their versions, dead letters.

mod dead_letters;
mod letter_marks;
mod letter_reads;
mod letters;
mod plugins;
mod status;
mod tasks;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use status::task;
pub(super) use tasks::Trace;

use super::app::App;

/// All of it.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status::get))
        .routes(routes!(tasks::logs))
        .routes(routes!(tasks::trace))
        .routes(routes!(plugins::list, plugins::upload))
        .routes(routes!(plugins::promote))
        .routes(routes!(plugins::roll_back))
        .routes(routes!(plugins::delete))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::discard))
}

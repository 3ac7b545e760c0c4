//! `sandbar.toml`, connector definitions and secrets: read whole, with every error of a file at once.

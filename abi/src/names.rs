//! Every name and limit that both sides must spell alike: exports, imports, the custom section, version numbers.

/// The major version of the ABI; a plugin shows it by exporting [`ABI_MARKER`].
pub const ABI_MAJOR: u16 = 1;
/// The newest minor version this crate describes. A minor only ever appends.
pub const ABI_MINOR: u16 = 1;

/// The module name of all host functions.
pub const IMPORT_MODULE: &str = "sandbar_v1";
/// The only other module a plugin may import from.
pub const WASI_MODULE: &str = "wasi_snapshot_preview1";
/// The custom section that holds the manifest: a little-endian `u32` length, then that many bytes of UTF-8 JSON.
pub const MANIFEST_SECTION: &str = "sandbar.manifest";

/// `(level i32, ptr i32, len i32)`: a log line.
pub const LOG: &str = "log";
/// `(class i32, ptr i32, len i32)`: the message that goes with an error class, or with the trap that follows.
pub const SET_ERROR: &str = "set_error";
/// `(kind i32, ptr i32, len i32, value f64)`: a sample of a metric.
pub const METRIC: &str = "metric";
/// `(key ptr i32, key len i32, out ptr i32, out cap i32) -> i64`: the value's length, -1 if there is none.
pub const CONFIG_GET: &str = "config_get";
/// As [`CONFIG_GET`], from the source offsets.
pub const OFFSET_GET: &str = "offset_get";
/// `(key ptr i32, key len i32, value ptr i32, value len i32) -> i32`
pub const OFFSET_PUT: &str = "offset_put";
/// As [`CONFIG_GET`], from the task's state.
pub const STATE_GET: &str = "state_get";
/// `(key ptr i32, key len i32, value ptr i32, value len i32) -> i32`
pub const STATE_PUT: &str = "state_put";
/// `(key ptr i32, key len i32) -> i32`
pub const STATE_DELETE: &str = "state_delete";
/// `(request ptr i32, request len i32, out ptr i32, out cap i32) -> i64`: the answer's length, -1 if there is none.
/// Since minor 1, for plugins whose manifest asks for HTTP hosts.
pub const HTTP_SEND: &str = "http_send";

/// The export of the linear memory.
pub const MEMORY: &str = "memory";
/// Called once by the host before anything else.
pub const INITIALIZE: &str = "_initialize";
/// What the marker of every major version begins with; the number follows. The handshake never moves.
pub const ABI_MARKER_PREFIX: &str = "sandbar_abi_v";
/// `() -> i32`: its presence is major 1, its value is the minor.
pub const ABI_MARKER: &str = "sandbar_abi_v1";
/// `(len i32) -> i32`: the grow-only input buffer, 8-aligned; 0 means out of memory.
pub const RESERVE: &str = "sandbar_reserve";
/// `(ptr i32, len i32) -> i64`: an [`crate::message::Open`] as JSON.
pub const OPEN: &str = "sandbar_open";
/// `(max_records i32, max_bytes i32, timeout_ms i32) -> i64`
pub const POLL: &str = "sandbar_poll";
/// `(ptr i32, len i32) -> i64`
pub const WRITE: &str = "sandbar_write";
/// `(ptr i32, len i32) -> i64`
pub const TRANSFORM: &str = "sandbar_transform";
/// `() -> i64`
pub const FLUSH: &str = "sandbar_flush";
/// `(batch_id i64) -> i64`, optional
pub const COMMITTED: &str = "sandbar_committed";
/// `(reason i32) -> i64`
pub const CLOSE: &str = "sandbar_close";
/// `() -> i64`, optional
pub const CHECK: &str = "sandbar_check";
/// `() -> i64`, optional
pub const DISCOVER: &str = "sandbar_discover";
/// `(max i32) -> i64`, optional
pub const TASK_CONFIGS: &str = "sandbar_task_configs";
/// `(ptr i32, len i32) -> i64`, optional
pub const ASSIGNED: &str = "sandbar_assigned";
/// `(ptr i32, len i32) -> i64`, optional
pub const REVOKED: &str = "sandbar_revoked";

/// The longest frame either side may pass, in bytes.
pub const MAX_FRAME_BYTES: usize = 64 << 20;
/// The longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// The longest key of `offset_*`, `state_*` and `config_get`, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 10;
/// The longest value of `offset_put` and `state_put`, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// The longest log line or error message that is kept; the rest is cut off, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 << 10;
/// The longest metric name, in bytes.
pub const MAX_METRIC_NAME_BYTES: usize = 128;
/// The longest request of `http_send`, head and body, in bytes.
pub const MAX_HTTP_REQUEST_BYTES: usize = 16 << 20;
/// The longest head of a request of `http_send`, in bytes: read, it takes many times its size in memory.
pub const MAX_HTTP_HEAD_BYTES: usize = 256 << 10;
/// The most headers of a request of `http_send`.
pub const MAX_HTTP_HEADERS: usize = 100;
/// The most hosts a manifest may ask for.
pub const MAX_HTTP_HOSTS: usize = 100;
/// The alignment of input buffers and of every section of a frame, in bytes.
pub const ALIGN: usize = 8;

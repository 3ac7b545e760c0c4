//! What an instance gets of the world: nothing, but for what was granted.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiView as _};

use super::log::GuestLog;
use super::stdio::GuestOutput;
use crate::http;

/// What the operator grants of what the manifest asks for.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Directories to read, visible to the guest under the same absolute path.
    pub read: Vec<PathBuf>,
    /// Directories to read and write.
    pub write: Vec<PathBuf>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// What sends requests; instances that follow each other share it, and its connections.
    pub http: Option<Arc<http::Client>>,
}

/// Bytes of randomness a guest may ask for at once.
const MAX_RANDOM: u64 = 64 << 10;

/// Files and directories a guest may have open at once, its grants and streams included. All guests share the process's
/// own limit, which is often no more than 1,024.
const MAX_OPEN: usize = 256;

/// Opens what is granted. A guest that is alone on its thread works with its files there.
pub(super) fn context(grants: &Grants, log: &GuestLog, alone: bool) -> Result<WasiP1Ctx, String> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.allow_blocking_current_thread(alone);
    wasi.stdout(GuestOutput::new(log.clone(), 3));
    wasi.stderr(GuestOutput::new(log.clone(), 2));
    wasi.max_random_size(MAX_RANDOM);
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
    for (directories, perms, key) in
        [(&grants.read, FsPerms::ReadOnly, "sandbox.fs.read"), (&grants.write, FsPerms::ReadWrite, "sandbox.fs.write")]
    {
        for directory in directories {
            let shown = directory.display();
            let name = directory.to_str().ok_or_else(|| format!("{key}: {shown} is not UTF-8"))?;
            wasi.preopened_dir(directory, name, perms).map_err(|e| format!("{key}: {shown}: {e:#}"))?;
        }
    }
    for (name, value) in &grants.env {
        wasi.env(name, value);
    }
    let mut context = wasi.build_p1();
    context.ctx().table.set_max_capacity(MAX_OPEN);
    Ok(context)
}

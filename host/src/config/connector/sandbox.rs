//! What plugins may use and reach: what their manifests ask for, as far as the definition grants and the worker allows.

use std::path::PathBuf;
use std::time::Duration;

use sandbar_abi::Manifest;
use sandbar_abi::manifest::Access;

use super::http::GrantedHttp;
use super::{Grants, SandboxSettings};
use crate::config::error::ErrorKind;
use crate::config::keys::{self, Key};
use crate::config::reader::Reader;
use crate::config::worker::{Limits, WorkerConfig};

/// What the definition grants, to whichever of its plugins asks.
pub(super) struct Granted {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    env: Vec<String>,
    http: GrantedHttp,
    memory: Limit,
    fuel: Limit,
    call_timeout_ms: Limit,
    state_max_bytes: u64,
}

/// A limit as the definition has it, and the worker's.
struct Limit {
    given: Option<u64>,
    ceiling: u64,
}

impl Granted {
    pub(super) fn read(reader: &mut Reader<'_>, worker: &WorkerConfig) -> Self {
        let Limits { memory_max_bytes, fuel_per_call, call_timeout } = worker.limits;
        let timeout_ms = u64::try_from(call_timeout.as_millis()).unwrap_or(u64::MAX);
        let directories = |items: Vec<String>| items.into_iter().map(PathBuf::from).collect();
        Self {
            read: directories(reader.list(&keys::SANDBOX_FS_READ)),
            write: directories(reader.list(&keys::SANDBOX_FS_WRITE)),
            env: reader.list(&keys::SANDBOX_ENV),
            http: GrantedHttp::read(reader),
            memory: limit(reader, &keys::SANDBOX_MEMORY_MAX_BYTES, memory_max_bytes),
            fuel: limit(reader, &keys::SANDBOX_FUEL_PER_CALL, fuel_per_call),
            call_timeout_ms: limit(reader, &keys::SANDBOX_CALL_TIMEOUT_MS, timeout_ms),
            state_max_bytes: reader.integer(&keys::SANDBOX_STATE_MAX_BYTES),
        }
    }

    /// Says which grants none of the plugins asks for.
    pub(super) fn warn_unasked(&self, reader: &mut Reader<'_>, plugins: &[&Manifest]) {
        let asks = |access| plugins.iter().any(|manifest| manifest.capabilities.fs.contains(&access));
        if !self.read.is_empty() && !asks(Access::Read) && !asks(Access::Write) {
            reader.warning(keys::SANDBOX_FS_READ.name, "is not granted: no plugin asks to read directories");
        }
        if !self.write.is_empty() && !asks(Access::Write) {
            reader.warning(keys::SANDBOX_FS_WRITE.name, "is not granted: no plugin asks to write to directories");
        }
        let asked = |name: &&String| plugins.iter().any(|manifest| manifest.capabilities.env.contains(name));
        for name in self.env.iter().filter(|name| !asked(name)) {
            reader.warning(keys::SANDBOX_ENV.name, format!("{name} is not granted: no plugin asks for it"));
        }
        self.http.warn_unasked(reader, plugins);
    }

    /// What one plugin may use and reach.
    pub(super) fn sandbox(&self, reader: &mut Reader<'_>, manifest: &Manifest) -> SandboxSettings {
        let suggested = &manifest.limits;
        let mut choose = |key: &Key, limit: &Limit, suggested: Option<u64>| {
            if let Some(more) = suggested.filter(|more| limit.given.is_none() && *more > limit.ceiling) {
                let (plugin, most) = (&manifest.name, limit.ceiling);
                reader.warning(key.name, format!("plugin {plugin} suggests {more}, the worker allows {most}"));
            }
            limit.given.or(suggested).unwrap_or(limit.ceiling).min(limit.ceiling)
        };
        let limits = Limits {
            memory_max_bytes: choose(&keys::SANDBOX_MEMORY_MAX_BYTES, &self.memory, suggested.memory_max_bytes),
            fuel_per_call: choose(&keys::SANDBOX_FUEL_PER_CALL, &self.fuel, suggested.fuel_per_call),
            call_timeout: Duration::from_millis(choose(
                &keys::SANDBOX_CALL_TIMEOUT_MS,
                &self.call_timeout_ms,
                suggested.call_timeout_ms,
            )),
        };
        SandboxSettings { limits, state_max_bytes: self.state_max_bytes, grants: self.grants(reader, manifest) }
    }

    fn grants(&self, reader: &mut Reader<'_>, manifest: &Manifest) -> Grants {
        let (asked, plugin) = (&manifest.capabilities, &manifest.name);
        let (reads, writes) = (asked.fs.contains(&Access::Read), asked.fs.contains(&Access::Write));
        let lacks = |reader: &Reader<'_>, key, given: &[PathBuf]| given.is_empty() && !reader.told(key);
        if writes && lacks(reader, &keys::SANDBOX_FS_WRITE, &self.write) {
            let message = format!("is required: plugin {plugin} asks to write to directories");
            reader.error(ErrorKind::Missing, keys::SANDBOX_FS_WRITE.name, message);
        } else if reads && self.write.is_empty() && lacks(reader, &keys::SANDBOX_FS_READ, &self.read) {
            let message = format!("is required: plugin {plugin} asks to read directories");
            reader.error(ErrorKind::Missing, keys::SANDBOX_FS_READ.name, message);
        }
        for name in asked.env.iter().filter(|name| !self.env.contains(name)) {
            let message = format!("must name {name}: plugin {plugin} asks for this environment variable");
            reader.error(ErrorKind::Missing, keys::SANDBOX_ENV.name, message);
        }
        let written = self.write.iter().filter(|_| writes || reads);
        let access = if writes { Access::Write } else { Access::Read };
        let only_read = self.read.iter().filter(|path| (reads || writes) && !self.write.contains(path));
        Grants {
            fs: written
                .map(|path| (path.clone(), access))
                .chain(only_read.map(|path| (path.clone(), Access::Read)))
                .collect(),
            env: asked.env.iter().filter(|name| self.env.contains(name)).cloned().collect(),
            http: self.http.grant(reader, manifest),
        }
    }
}

/// A limit of the definition, which must not be above the worker's.
fn limit(reader: &mut Reader<'_>, key: &Key, ceiling: u64) -> Limit {
    let given = reader.integer_given(key);
    if given.is_some_and(|given: u64| given > ceiling) {
        let message = format!("is more than the {ceiling} that the worker allows ({} in its own file)", key.name);
        reader.error(ErrorKind::Invalid, key.name, message);
    }
    Limit { given, ceiling }
}

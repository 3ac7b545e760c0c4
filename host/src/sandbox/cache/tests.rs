//! Does to a cache what hosts, time and others with a grudge may do to it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const ROOM: u64 = 1 << 20;
const CODE: &[u8] = b"machine code, more or less";

struct World {
    folder: TempDir,
    engine: Digest,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), engine: Digest::of(b"engine") }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("data").join(Cache::KEY_FILE)
    }

    fn open_with(&self, max_bytes: u64) -> Result<Cache, CacheError> {
        Cache::at(&self.root(), &self.folder.path().join("data"), max_bytes)
    }

    fn open(&self) -> Cache {
        self.open_with(ROOM).unwrap()
    }

    /// A cache that holds the module of this name, and the entry's file.
    fn with(&self, module: &str) -> (Cache, PathBuf) {
        let cache = self.open();
        cache.store(&self.engine, &digest(module), CODE);
        let path = self.entry(&cache, module);
        assert!(path.is_file());
        (cache, path)
    }

    fn entry(&self, cache: &Cache, module: &str) -> PathBuf {
        self.root().join(cache.folder_name(&self.engine)).join(entry_name(&digest(module)))
    }

    fn load(&self, cache: &Cache, module: &str) -> Option<Vec<u8>> {
        cache.load(&self.engine, &digest(module))
    }

    /// The entry is not used, and what it stands for is used again once it was stored anew.
    #[track_caller]
    fn refuses(&self, cache: &Cache, module: &str) {
        assert_eq!(self.load(cache, module), None);
        cache.store(&self.engine, &digest(module), CODE);
        assert_eq!(self.load(cache, module).as_deref(), Some(CODE));
    }
}

fn digest(module: &str) -> Digest {
    Digest::of(module.as_bytes())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn age(path: &Path, by: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

#[test]
fn what_is_stored_is_found_by_every_host_with_the_key() {
    let world = World::new();
    let (cache, path) = world.with("a");
    assert_eq!(world.load(&cache, "a").as_deref(), Some(CODE));
    assert_eq!(world.load(&world.open(), "a").as_deref(), Some(CODE));
    assert_eq!(world.load(&cache, "b"), None);
    assert_eq!(cache.load(&Digest::of(b"another engine"), &digest("a")), None);
    cache.store(&world.engine, &digest("empty"), b"");
    assert_eq!(world.load(&cache, "empty").as_deref(), Some(&b""[..]));
    for private in [&path, &world.key()] {
        assert_eq!(fs::metadata(private).unwrap().mode() & 0o077, 0, "{}", private.display());
    }
}

#[test]
fn no_byte_of_an_entry_may_change() {
    let world = World::new();
    let (cache, path) = world.with("a");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(world.load(&cache, "a"), None, "byte {at}");
    }
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        assert_eq!(world.load(&cache, "a"), None, "{len} bytes");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    world.refuses(&cache, "a");
}

#[test]
fn an_entry_counts_for_its_own_module_and_engine_only() {
    let world = World::new();
    let (cache, path) = world.with("a");
    fs::copy(&path, world.entry(&cache, "b")).unwrap();
    world.refuses(&cache, "b");

    let other = Digest::of(b"another engine");
    cache.store(&other, &digest("c"), CODE);
    let from = world.root().join(cache.folder_name(&other)).join(entry_name(&digest("c")));
    fs::copy(from, world.entry(&cache, "c")).unwrap();
    world.refuses(&cache, "c");
}

#[test]
fn what_was_made_without_the_key_is_not_used() {
    let world = World::new();
    let (cache, path) = world.with("a");
    // Who can write the folder can hash, and can run a host with a key of their own.
    let forger = World::new();
    let (_, forged) = forger.with("a");
    fs::copy(forged, &path).unwrap();
    world.refuses(&cache, "a");
    fs::write(&path, [Digest::of(CODE).as_bytes(), CODE].concat()).unwrap();
    world.refuses(&cache, "a");
}

#[test]
fn a_new_key_ends_what_the_old_one_made() {
    let world = World::new();
    let (_, old) = world.with("a");
    let before = fs::read(world.key()).unwrap();
    fs::remove_file(world.key()).unwrap();
    let cache = world.open();
    assert_ne!(fs::read(world.key()).unwrap(), before);
    let path = world.entry(&cache, "a");
    assert_ne!(path, old);
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::copy(old, path).unwrap();
    world.refuses(&cache, "a");
}

#[test]
fn a_key_that_others_may_know_is_none() {
    let world = World::new();
    world.with("a");
    for open in [0o640, 0o604, 0o620, 0o602] {
        mode(&world.key(), open);
        let error = world.open_with(ROOM).unwrap_err();
        assert!(matches!(error.fault(), CacheFault::Exposed { .. }), "{error}");
        assert!(error.to_string().contains("cache.key: others may read or write it (mode 6"), "{error}");
    }
    mode(&world.key(), 0o600);
    fs::write(world.key(), b"short").unwrap();
    assert!(matches!(world.open_with(ROOM).unwrap_err().fault(), CacheFault::KeyLength { len: 5, .. }));
    fs::remove_file(world.key()).unwrap();
    let elsewhere = world.folder.path().join("elsewhere");
    fs::write(&elsewhere, [7; 32]).unwrap();
    mode(&elsewhere, 0o600);
    symlink(&elsewhere, world.key()).unwrap();
    assert!(matches!(world.open_with(ROOM).unwrap_err().fault(), CacheFault::Kind { expected: "file" }));
    fs::remove_file(world.key()).unwrap();
    fs::create_dir(world.key()).unwrap();
    assert!(matches!(world.open_with(ROOM).unwrap_err().fault(), CacheFault::Kind { expected: "file" }));
}

#[test]
fn a_key_of_somebody_else_is_none() {
    if !is_root() {
        // Only root can give a file away.
        return;
    }
    let world = World::new();
    let (cache, path) = world.with("a");
    let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None).unwrap();
    give(&path, 12_345);
    world.refuses(&cache, "a");
    give(&world.root(), 12_345);
    assert_eq!(world.load(&cache, "a"), None);
    give(&world.root(), 0);
    give(&world.key(), 12_345);
    let error = world.open_with(ROOM).unwrap_err();
    assert!(matches!(error.fault(), CacheFault::Foreign { owner: 12_345, own: 0 }), "{error}");
}

#[test]
fn hosts_that_start_together_get_one_key() {
    let world = World::new();
    let caches: Vec<_> = std::thread::scope(|scope| {
        let hosts: Vec<_> = (0..8).map(|_| scope.spawn(|| world.open())).collect();
        hosts.into_iter().map(|host| host.join().unwrap()).collect()
    });
    caches[0].store(&world.engine, &digest("a"), CODE);
    assert!(caches.iter().all(|cache| world.load(cache, "a").as_deref() == Some(CODE)));
    let left: Vec<_> = fs::read_dir(world.folder.path().join("data")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn files_and_folders_that_others_may_write_are_not_used() {
    let world = World::new();
    let (cache, path) = world.with("a");
    let folder = path.parent().unwrap();
    for open in [0o620, 0o602] {
        mode(&path, open);
        world.refuses(&cache, "a");
    }
    for place in [folder, &world.root()] {
        for open in [0o770, 0o707, 0o1777] {
            mode(place, open);
            assert_eq!(world.load(&cache, "a"), None, "{} {open:o}", place.display());
        }
        mode(place, 0o700);
    }
    // Whoever may write a folder above may exchange what is below, unless all keep their own there.
    mode(world.folder.path(), 0o777);
    assert_eq!(world.load(&cache, "a"), None);
    assert!(matches!(world.open_with(ROOM).unwrap_err().fault(), CacheFault::Writable { .. }));
    mode(world.folder.path(), 0o1777);
    assert_eq!(world.load(&cache, "a").as_deref(), Some(CODE));
}

#[test]
fn links_are_not_followed_below_the_cache() {
    let world = World::new();
    let (cache, path) = world.with("a");
    let (folder, elsewhere) = (path.parent().unwrap().to_owned(), world.folder.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    world.refuses(&cache, "a");
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    assert!(elsewhere.exists());

    let moved = world.folder.path().join("moved");
    fs::rename(&folder, &moved).unwrap();
    symlink(&moved, &folder).unwrap();
    assert_eq!(world.load(&cache, "a"), None);
    cache.store(&world.engine, &digest("b"), CODE);
    assert!(!moved.join(entry_name(&digest("b"))).exists());
}

#[test]
fn the_cache_itself_may_be_behind_a_link_of_ones_own() {
    let world = World::new();
    let real = world.folder.path().join("real");
    fs::create_dir(&real).unwrap();
    mode(&real, 0o700);
    symlink(&real, world.root()).unwrap();
    let (cache, _) = world.with("a");
    assert_eq!(world.load(&cache, "a").as_deref(), Some(CODE));
    if is_root() {
        std::os::unix::fs::lchown(world.root(), Some(12_345), None).unwrap();
        assert_eq!(world.load(&cache, "a"), None);
    }
}

#[test]
fn what_is_no_file_is_no_entry() {
    let world = World::new();
    let (cache, path) = world.with("a");
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    world.refuses(&cache, "a");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(world.load(&cache, "a"), None);
    // It cannot be replaced either, and nothing comes of that.
    cache.store(&world.engine, &digest("a"), CODE);
    assert_eq!(world.load(&cache, "a"), None);
    cache.store(&world.engine, &digest("b"), CODE);
    assert_eq!(world.load(&cache, "b").as_deref(), Some(CODE));
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let world = World::new();
    let entry = (CODE.len() + MAC_BYTES) as u64;
    let cache = world.open_with(3 * entry).unwrap();
    for (module, hours) in [("a", 4), ("b", 3), ("c", 2)] {
        cache.store(&world.engine, &digest(module), CODE);
        age(&world.entry(&cache, module), Duration::from_secs(3600 * hours));
    }
    // To use it is to keep it.
    assert!(world.load(&cache, "a").is_some());
    cache.store(&world.engine, &digest("d"), CODE);
    let held: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(|m| world.load(&cache, m).is_some()).collect();
    assert_eq!(held, ["a", "c", "d"]);
    // What would not fit by itself moves nothing out.
    cache.store(&world.engine, &digest("large"), &vec![0; 4 * CODE.len() + 200]);
    assert!(world.load(&cache, "large").is_none() && world.load(&cache, "d").is_some());
    let nothing = world.open_with(0).unwrap();
    nothing.sweep(&world.engine, SystemTime::now()).unwrap();
    assert!(world.load(&cache, "d").is_none());
}

#[test]
fn old_engines_go_and_everything_else_stays() {
    let world = World::new();
    let (cache, own) = world.with("a");
    let other = Digest::of(b"another engine");
    let day = Duration::from_secs(24 * 3600);
    let stored = |module: &str, days: u32| {
        cache.store(&other, &digest(module), CODE);
        let path = world.root().join(cache.folder_name(&other)).join(entry_name(&digest(module)));
        age(&path, day * days);
        path
    };
    let (recent, old) = (stored("a", 6), stored("b", 8));
    age(&own, day * 365);
    let scratch = own.with_file_name(format!("{:016x}{SCRATCH_SUFFIX}", 7));
    let writing = own.with_file_name(format!("{:016x}{SCRATCH_SUFFIX}", 8));
    fs::write(&scratch, "left behind").unwrap();
    fs::write(&writing, "on its way").unwrap();
    age(&scratch, day);
    // Not the host's own names: none of its business.
    let notes = own.with_file_name("notes.txt");
    let photos = world.root().join("photos").join(entry_name(&digest("a")));
    fs::create_dir(photos.parent().unwrap()).unwrap();
    for path in [&notes, &photos] {
        fs::write(path, "mine").unwrap();
        age(path, day * 365);
    }
    // A link out of the cache: it may go, what it leads to may not.
    let outside = world.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let kept = outside.join(entry_name(&digest("a")));
    fs::write(&kept, "mine").unwrap();
    age(&kept, day * 365);
    symlink(&outside, world.root().join("0123456789abcdef")).unwrap();
    symlink(&kept, own.with_file_name(entry_name(&digest("link")))).unwrap();

    cache.sweep(&world.engine, SystemTime::now()).unwrap();
    for (path, stays) in [
        (&own, true),
        (&recent, true),
        (&old, false),
        (&scratch, false),
        (&writing, true),
        (&notes, true),
        (&photos, true),
        (&kept, true),
    ] {
        assert_eq!(path.exists(), stays, "{}", path.display());
    }
    cache.sweep(&world.engine, SystemTime::now() + day * 2).unwrap();
    assert!(own.exists() && !recent.parent().unwrap().exists());
    let all = world.open_with(0).unwrap();
    all.sweep(&world.engine, SystemTime::now()).unwrap();
    assert!(!own.exists() && notes.exists() && photos.exists() && kept.exists());
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    if is_root() {
        // No mode keeps root from writing.
        return;
    }
    let world = World::new();
    let (cache, path) = world.with("a");
    mode(path.parent().unwrap(), 0o500);
    cache.store(&world.engine, &digest("b"), CODE);
    assert_eq!(world.load(&cache, "b"), None);
    assert_eq!(world.load(&cache, "a").as_deref(), Some(CODE));
    mode(path.parent().unwrap(), 0o700);
}

#[test]
fn a_cache_that_is_removed_while_it_is_used_is_made_anew() {
    let world = World::new();
    let (cache, _) = world.with("a");
    fs::remove_dir_all(world.root()).unwrap();
    world.refuses(&cache, "a");
}

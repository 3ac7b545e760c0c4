//! The one macro that turns types into a plugin: the exports of the ABI, and the manifest in its custom section.

/// Makes a plugin of types that implement [`crate::Source`], [`crate::Sink`] or [`crate::Transform`].
///
/// ```ignore
/// sandbar_plugin::export! {
///     source: MySource,          // any of source, sink, transform, in this order
///     sink: MySink,
///     manifest: include_str!("../manifest.json"),
/// }
/// ```
///
/// The manifest is JSON, described in `docs/abi.md`. Use it once a crate, in a `cdylib`.
#[macro_export]
macro_rules! export {
    (
        $(source: $source:ty,)?
        $(sink: $sink:ty,)?
        $(transform: $transform:ty,)?
        manifest: $manifest:expr $(,)?
    ) => {
        /// The manifest, as it stands in the custom section.
        pub const SANDBAR_MANIFEST: &str = $manifest;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use ::std::cell::RefCell;
            use $crate::guest::{Guest, Reply};

            type Plugin = Guest<
                $crate::__or!($($source)?; $crate::NoSource),
                $crate::__or!($($sink)?; $crate::NoSink),
                $crate::__or!($($transform)?; $crate::NoTransform),
            >;

            ::std::thread_local! {
                static GUEST: RefCell<Plugin> = RefCell::new(Plugin::default());
            }

            #[used]
            #[unsafe(link_section = "sandbar.manifest")]
            static MANIFEST: [u8; SANDBAR_MANIFEST.len() + 4] = $crate::__section(SANDBAR_MANIFEST);

            fn call(f: impl FnOnce(&mut Plugin) -> Reply) -> i64 {
                GUEST.with(|guest| {
                    let Ok(mut guest) = guest.try_borrow_mut() else { return $crate::__BUSY };
                    let reply = f(&mut guest);
                    $crate::__pack(reply, guest.output())
                })
            }

            unsafe extern "C" {
                fn __wasm_call_ctors();
            }

            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                // The linker defines it; calling it here, once, is what keeps it from wrapping every export.
                unsafe { __wasm_call_ctors() };
                $crate::guest::report_panics();
            }

            #[unsafe(no_mangle)]
            extern "C" fn sandbar_abi_v1() -> i32 {
                $crate::__MINOR
            }

            #[unsafe(no_mangle)]
            extern "C" fn sandbar_reserve(len: u32) -> u32 {
                GUEST.with(|guest| match guest.try_borrow_mut() {
                    Ok(mut guest) => guest.reserve(len as usize).map_or(0, |b| b.as_ptr() as u32),
                    Err(_) => 0,
                })
            }

            #[unsafe(no_mangle)]
            extern "C" fn sandbar_open(_ptr: u32, len: u32) -> i64 {
                call(|g| g.open(len as usize))
            }

            #[unsafe(no_mangle)]
            extern "C" fn sandbar_close(reason: i32) -> i64 {
                call(|g| g.close(reason))
            }

            #[unsafe(no_mangle)]
            extern "C" fn sandbar_check() -> i64 {
                call(|g| g.check())
            }

            $(
                const _: Option<$source> = None;

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_poll(max_records: u32, max_bytes: u32, timeout_ms: u32) -> i64 {
                    call(|g| g.poll(max_records, max_bytes, timeout_ms))
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_committed(batch: u64) -> i64 {
                    call(|g| g.committed(batch))
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_discover() -> i64 {
                    call(|g| g.discover())
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_task_configs(max: u32) -> i64 {
                    call(|g| g.task_configs(max))
                }
            )?

            $(
                const _: Option<$sink> = None;

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_write(_ptr: u32, len: u32) -> i64 {
                    call(|g| g.write(len as usize))
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_flush() -> i64 {
                    call(|g| g.flush())
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_assigned(_ptr: u32, len: u32) -> i64 {
                    call(|g| g.assigned(len as usize))
                }

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_revoked(_ptr: u32, len: u32) -> i64 {
                    call(|g| g.revoked(len as usize))
                }
            )?

            $(
                const _: Option<$transform> = None;

                #[unsafe(no_mangle)]
                extern "C" fn sandbar_transform(_ptr: u32, len: u32) -> i64 {
                    call(|g| g.transform(len as usize))
                }
            )?
        };
    };
}

/// The first type if there is one, else the second.
#[doc(hidden)]
#[macro_export]
macro_rules! __or {
    ($given:ty; $default:ty) => {
        $given
    };
    (; $default:ty) => {
        $default
    };
}

/// The custom section: a length of four bytes, then the manifest.
#[doc(hidden)]
#[must_use]
pub const fn section<const N: usize>(manifest: &str) -> [u8; N] {
    let mut section = [0; N];
    let json = manifest.as_bytes();
    #[allow(clippy::cast_possible_truncation)] // a manifest of 4 GiB does not compile
    let len = (json.len() as u32).to_le_bytes();
    let mut i = 0;
    while i < N {
        section[i] = if i < 4 { len[i] } else { json[i - 4] };
        i += 1;
    }
    section
}

/// What an export returns for a reply.
#[doc(hidden)]
#[must_use]
pub fn pack(reply: crate::guest::Reply, output: &[u8]) -> i64 {
    use crate::guest::Reply;
    match reply {
        Reply::Done => 0,
        Reply::Error(class) => class.code().into(),
        #[allow(clippy::cast_possible_truncation)] // addresses and lengths of wasm32 are 32 bits
        Reply::Output => sandbar_abi::status::Returned::pack(output.as_ptr() as u32, output.len() as u32),
    }
}

/// What an export returns when it is called from within another export.
#[doc(hidden)]
pub const BUSY: i64 = sandbar_abi::ErrorClass::Contract.code() as i64;
/// The minor version of the ABI this SDK speaks.
#[doc(hidden)]
pub const MINOR: i32 = sandbar_abi::names::ABI_MINOR as i32;

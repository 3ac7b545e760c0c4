//! Makes the files of the page at `/ui` part of the program: a table of what is in `ui/`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=ui");
    let mut files: Vec<_> = fs::read_dir("ui")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    let mut table = "const ASSETS: &[Asset] = &[\n".to_owned();
    for file in files {
        let kind = match file.extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => continue,
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = fs::canonicalize(&file)?;
        let line = writeln!(table, "    ({name:?}, {kind:?}, include_bytes!({:?})),", path.display().to_string());
        line.map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("page.rs"), table)
}

//! Where the rules are kept from one run of the process to the next.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::rules::ScopeRules;
use crate::diagnostics::report;

/// Loads the rules when the log starts, and keeps each change.
///
/// Both may block: `load` runs in [`AuditorBuilder::build`](crate::AuditorBuilder::build), `save` on a thread of this library,
/// one at a time. A database that several servers share is a store too; each of them sees what it has loaded and what it has
/// changed itself.
pub trait ScopeStore: Send + Sync + 'static {
    /// The rules that were kept; `None` if there are none yet, so that those of the code hold.
    ///
    /// # Errors
    ///
    /// If they cannot be read whole. The log does not start then: it would not be known what is to be audited.
    fn load(&self) -> io::Result<Option<ScopeRules>>;

    /// Keeps the rules, whole or not at all, and durably: called after the change was recorded, and before it holds.
    ///
    /// # Errors
    ///
    /// If they could not be kept. The change is refused then.
    fn save(&self, rules: &ScopeRules) -> io::Result<()>;
}

impl<S: ScopeStore + ?Sized> ScopeStore for Box<S> {
    fn load(&self) -> io::Result<Option<ScopeRules>> {
        (**self).load()
    }

    fn save(&self, rules: &ScopeRules) -> io::Result<()> {
        (**self).save(rules)
    }
}

impl<S: ScopeStore + ?Sized> ScopeStore for Arc<S> {
    fn load(&self) -> io::Result<Option<ScopeRules>> {
        (**self).load()
    }

    fn save(&self, rules: &ScopeRules) -> io::Result<()> {
        (**self).save(rules)
    }
}

/// Keeps the rules in a file, for one process at a time.
///
/// The file is JSON with a checksum. It is replaced as a whole: written beside it, synced, and renamed, so that a crash leaves the
/// old rules or the new ones. A file that is torn or was changed by hand is an error at start that names it. On Unix only its
/// owner can read it.
///
/// ```
/// use tower_audit::Scope;
/// use tower_audit::scope::{FileScopeStore, ScopeChange, ScopeRules, ScopeStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("scopes.json");
/// let store = FileScopeStore::new(path);
/// assert_eq!(store.load()?, None);
/// let rules = ScopeRules::off().with(ScopeChange::on(Scope::group("acme")))?;
/// store.save(&rules)?;
/// assert_eq!(store.load()?, Some(rules));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileScopeStore {
    path: PathBuf,
}

/// More than 100,000 rules with the longest paths take.
const MAX_FILE: u64 = 128 * 1024 * 1024;

impl FileScopeStore {
    /// Rules in this file, which need not exist yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn read(&self) -> io::Result<Option<String>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for scope rules"));
        }
        Ok(Some(text))
    }

    /// Replaces the file. If its folder cannot be synced, the change is refused, so the next start must read the old rules.
    fn write(&self, text: &str, sync_folder: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        let before = self.read()?;
        self.replace(text)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or(Path::new("."))).inspect_err(|_| {
            let put_back = match &before {
                Some(before) => self.replace(before),
                None => fs::remove_file(&self.path),
            };
            if let Err(error) = put_back {
                let path = self.path.display();
                report(|| {
                    tracing::error!(target: "tower_audit", %error, "the scope rules in {path} are not those in force");
                });
            }
        })
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let name = self.path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut beside = name.to_owned();
        beside.push(".new");
        let beside = self.path.with_file_name(beside);
        // What an earlier process left, or a link that somebody put there: never written through.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, &self.path)
    }

    fn about(&self, what: &str, error: impl fmt::Display) -> String {
        format!("{what} {}: {error}", self.path.display())
    }
}

impl ScopeStore for FileScopeStore {
    fn load(&self) -> io::Result<Option<ScopeRules>> {
        let read = self.read().map_err(|error| {
            let text = self.about("cannot read the scope rules in", &error);
            io::Error::new(error.kind(), text)
        })?;
        let Some(text) = read else { return Ok(None) };
        let rules = parse(&text).map_err(|problem| {
            let text = self.about("the scope rules are torn or were changed by hand in", problem);
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        Ok(Some(rules))
    }

    fn save(&self, rules: &ScopeRules) -> io::Result<()> {
        self.write(&print(rules), sync_folder).map_err(|error| {
            let text = self.about("cannot write the scope rules to", &error);
            io::Error::new(error.kind(), text)
        })
    }
}

/// Lets a rename outlive a crash, on file systems that can sync a folder: some network mounts cannot, nor can any but Unix.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {}
        synced => synced?,
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn print(rules: &ScopeRules) -> String {
    let json = rules.to_json();
    format!("{{\"version\":1,\"rules\":{json},\"crc32\":\"{}\"}}\n", checksum(&json))
}

fn parse(text: &str) -> Result<ScopeRules, String> {
    let members: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Some(rules) = members.get("rules").filter(|_| members.get("version") == Some(&Value::from(1))) else {
        return Err("it is not of version 1".to_owned());
    };
    let rules = ScopeRules::from_value(rules)?;
    let checksum = checksum(&rules.to_json());
    match members.get("crc32") {
        Some(Value::String(known)) if *known == checksum => Ok(rules),
        _ => Err("its checksum is not that of its rules".to_owned()),
    }
}

/// Tells one set of rules from another, and a torn file from a whole one: CRC-32 in hex.
pub(super) fn checksum(text: &str) -> String {
    format!("{:08x}", crc32(text.as_bytes()))
}

/// CRC-32 as of gzip and PNG (ISO 3309), four bits at a time: a file of 100,000 rules takes about 20 milliseconds.
fn crc32(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0xedb8_8320;
    const REMAINDERS: [u32; 16] = {
        let mut table = [0; 16];
        let mut half: u32 = 0;
        while half < 16 {
            let mut rest = half;
            let mut bits = 0;
            while bits < 4 {
                rest = (rest >> 1) ^ (REVERSED_POLYNOMIAL * (rest & 1));
                bits += 1;
            }
            table[half as usize] = rest;
            half += 1;
        }
        table
    };
    let half = |rest: u32| (rest >> 4) ^ REMAINDERS[(rest & 0xf) as usize];
    !bytes.iter().fold(!0, |rest, byte| half(half(rest ^ u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Scope;

    #[test]
    fn the_checksum_is_crc_32_as_other_programs_compute_it() {
        // The check value of the CRC catalogue, and the sums of `gzip -l` and Python's `zlib.crc32`.
        assert_eq!(checksum("123456789"), "cbf43926");
        assert_eq!(checksum(""), "00000000");
        assert_eq!(checksum(r#"{"default":true,"scopes":{"acme":false}}"#), "77b0210f");
    }
    use crate::scope::{ScopeChange, ScopeNode};

    fn rules(count: usize) -> ScopeRules {
        let scopes: Vec<String> = (0..count).map(|at| format!("\"group-{at}/a\":{}", at % 2 == 0)).collect();
        ScopeRules::from_json(&format!(r#"{{"default":false,"scopes":{{{}}}}}"#, scopes.join(","))).unwrap()
    }

    #[test]
    fn a_change_that_is_refused_is_not_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileScopeStore::new(folder.path().join("scopes.json"));
        let fails = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        assert!(store.write(&print(&rules(1)), fails).is_err());
        assert_eq!(store.load().unwrap(), None);
        store.save(&rules(1)).unwrap();
        assert!(store.write(&print(&rules(2)), fails).is_err());
        assert_eq!(store.load().unwrap(), Some(rules(1)));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_beside_the_file_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("scopes.json"), folder.path().join("other"));
        fs::write(&other, "kept").unwrap();
        std::os::unix::fs::symlink(&other, folder.path().join("scopes.json.new")).unwrap();
        FileScopeStore::new(&path).save(&rules(1)).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
        assert_eq!(FileScopeStore::new(&path).load().unwrap(), Some(rules(1)));
    }

    #[test]
    fn a_file_that_is_cut_off_or_changed_anywhere_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scopes.json");
        let store = FileScopeStore::new(&path);
        store.save(&rules(2)).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut torn: Vec<Vec<u8>> = (0..whole.len() - 1).map(|at| whole[..at].to_vec()).collect();
        for at in 0..whole.len() - 1 {
            let mut zeroed = whole.clone();
            zeroed[at..].fill(0);
            torn.push(zeroed);
        }
        torn.push(String::from_utf8(whole).unwrap().replace("true", "false").into_bytes());
        for torn in torn {
            fs::write(&path, &torn).unwrap();
            let error = store.load().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("scopes.json"), "{error}");
        }
    }

    #[test]
    fn a_megabyte_of_rules_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileScopeStore::new(folder.path().join("scopes.json"));
        let many = rules(60_000);
        store.save(&many).unwrap();
        assert!(fs::metadata(folder.path().join("scopes.json")).unwrap().len() > 1024 * 1024);
        assert_eq!(store.load().unwrap(), Some(many));
        let fewer = ScopeRules::on().with(ScopeChange::off(ScopeNode::from(Scope::group("acme")))).unwrap();
        store.save(&fewer).unwrap();
        assert_eq!(store.load().unwrap(), Some(fewer));
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["scopes.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scopes.json");
        FileScopeStore::new(&path).save(&rules(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileScopeStore::new(folder.path().join("missing").join("scopes.json"));
        assert_eq!(store.load().unwrap(), None);
        assert!(store.save(&rules(1)).unwrap_err().to_string().contains("scopes.json"));
    }
}

//! Groups, projects and their packages.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::storage::Storage;

const GROUPS: [&str; 2] = ["acme", "acme/tools"];
const PROJECTS: [&str; 2] = ["acme/tools/cli", "jane/scripts"];

/// The group of this path.
pub(crate) fn group(path: &str) -> Option<&'static str> {
    GROUPS.into_iter().find(|known| *known == path)
}

/// The project of this path.
pub(crate) fn project(path: &str) -> Option<&'static str> {
    PROJECTS.into_iter().find(|known| *known == path)
}

/// The group that a project is in; none if it belongs to a user.
pub(crate) fn parent_group(project: &str) -> Option<&'static str> {
    group(project.rsplit_once('/')?.0)
}

pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// One file of a package.
pub(crate) struct File {
    pub(crate) project: &'static str,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) file: String,
}

impl File {
    /// `None` if a name is not allowed. Names become names of files.
    pub(crate) fn new(project: &'static str, name: String, version: String, file: String) -> Option<Self> {
        let is_allowed = |name: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+~@".contains(&byte);
            (1..=200).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
        };
        let are_allowed = [&name, &version, &file].into_iter().all(is_allowed);
        are_allowed.then_some(Self { project, name, version, file })
    }
}

/// A version of a package. A deleted one is kept, so that it is known who deleted it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Package {
    pub(crate) id: u64,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) files: Vec<String>,
    pub(crate) is_deleted: bool,
    pub(crate) last_change: Change,
}

/// Who changed a package, with which key, how, when, and how it came about.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Change {
    pub(crate) who: String,
    pub(crate) name: String,
    pub(crate) credential: Option<String>,
    pub(crate) what: String,
    pub(crate) when: String,
    pub(crate) how: String,
    /// Of its record, if its scope is audited.
    pub(crate) audit_id: Option<String>,
}

/// What became of an upload.
pub(crate) struct Published {
    pub(crate) package: Package,
    /// The version existed.
    pub(crate) is_update: bool,
}

/// All packages, in memory and in a folder.
pub(crate) struct Registry {
    packages: Mutex<Vec<Package>>,
    storage: Storage,
}

impl Registry {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let (storage, packages) = Storage::open(folder)?;
        Ok(Self { packages: Mutex::new(packages), storage })
    }

    pub(crate) fn publish(&self, file: File, content: &[u8], change: Change) -> io::Result<Published> {
        let mut packages = self.lock();
        let known = packages.iter().position(|package| {
            !package.is_deleted
                && (package.project.as_str(), &package.name, &package.version)
                    == (file.project, &file.name, &file.version)
        });
        let mut after = packages.clone();
        let at = known.unwrap_or_else(|| {
            after.push(Package {
                id: packages.iter().map(|package| package.id).max().unwrap_or(0) + 1,
                project: file.project.to_owned(),
                name: file.name,
                version: file.version,
                files: Vec::new(),
                is_deleted: false,
                last_change: change.clone(),
            });
            after.len() - 1
        });
        let package = &mut after[at];
        if known.is_some() {
            package.last_change = Change { what: "updated".to_owned(), ..change };
        }
        if !package.files.contains(&file.file) {
            package.files.push(file.file.clone());
        }
        self.storage.write(package.id, &file.file, content)?;
        self.storage.save(&after)?;
        let package = after[at].clone();
        *packages = after;
        Ok(Published { package, is_update: known.is_some() })
    }

    pub(crate) fn read(&self, file: &File) -> io::Result<Option<(Package, Vec<u8>)>> {
        let known = self.list(file.project).into_iter().find(|package| {
            (&package.name, &package.version) == (&file.name, &file.version) && package.files.contains(&file.file)
        });
        let Some(package) = known else { return Ok(None) };
        let content = self.storage.read(package.id, &file.file)?;
        Ok(Some((package, content)))
    }

    /// The packages of a project, without the deleted ones.
    pub(crate) fn list(&self, project: &str) -> Vec<Package> {
        self.lock().iter().filter(|package| package.project == project && !package.is_deleted).cloned().collect()
    }

    /// A package, deleted or not.
    pub(crate) fn find(&self, project: &str, id: u64) -> Option<Package> {
        self.lock().iter().find(|package| package.project == project && package.id == id).cloned()
    }

    /// Deletes a package and gives it back; `None` if there is none.
    pub(crate) fn remove(&self, project: &str, id: u64, change: Change) -> io::Result<Option<Package>> {
        let mut packages = self.lock();
        let is_meant = |package: &Package| package.project == project && package.id == id && !package.is_deleted;
        let Some(at) = packages.iter().position(is_meant) else { return Ok(None) };
        let mut after = packages.clone();
        (after[at].is_deleted, after[at].last_change) = (true, change);
        self.storage.save(&after)?;
        let package = after[at].clone();
        *packages = after;
        drop(packages);
        self.storage.remove(id)?;
        Ok(Some(package))
    }

    /// The versions that a newer one of the same package has replaced.
    pub(crate) fn outdated(&self, project: &str) -> Vec<Package> {
        let all = self.list(project);
        let is_replaced = |old: &Package| all.iter().any(|new| new.name == old.name && new.id > old.id);
        all.iter().filter(|package| is_replaced(package)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Package>> {
        self.packages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

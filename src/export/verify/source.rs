//! What is read: the names below a destination, and its objects.

use std::io::{self, Read};

use crate::LogType;
use crate::export::recipe;

/// A destination that is read.
pub(super) trait Source {
    /// For messages.
    fn name(&self) -> String;
    /// The names directly in a folder: of its folders, and of its objects. None where it is not there.
    fn names_in(&self, folder: &str) -> io::Result<Names>;
    /// An object, from its beginning; `NotFound` if it is not there.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>>;
}

#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) folders: Vec<String>,
    pub(super) objects: Vec<String>,
    /// Keys that no exporter makes and that cannot be opened by a name, below the destination.
    pub(super) strays: Vec<String>,
}

/// Names below the destination, sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) manifests: Vec<String>,
    pub(super) objects: Vec<String>,
    /// What no exporter makes: such keys, and folders in those of a date.
    pub(super) strays: Vec<String>,
    /// Folders of objects that cannot be listed, and why.
    pub(super) unreadable: Vec<(String, String)>,
}

/// What exporters put there; other files are nobody's business. Temporary files of a put that goes on begin with a dot.
pub(super) fn list(source: &dyn Source) -> io::Result<Listing> {
    let mut listing = Listing::default();
    // Without all manifests nothing can be said.
    let Listing { manifests, objects, strays, unreadable } = &mut listing;
    list_dates(source, "manifests", (manifests, strays), &mut |_, error| Err(error))?;
    for log_type in LogType::ALL {
        list_dates(source, recipe::folder(*log_type), (objects, strays), &mut |folder, error| {
            unreadable.push((folder, error.to_string()));
            Ok(())
        })?;
    }
    Ok(listing)
}

fn list_dates(
    source: &dyn Source,
    kind: &str,
    (names, strays): (&mut Vec<String>, &mut Vec<String>),
    cannot: &mut dyn FnMut(String, io::Error) -> io::Result<()>,
) -> io::Result<()> {
    let from = names.len();
    let dates = match source.names_in(kind) {
        Ok(dates) => dates,
        Err(error) => return cannot(kind.to_owned(), error),
    };
    strays.extend(dates.strays);
    names.extend(dates.objects.iter().map(|name| format!("{kind}/{name}")));
    for date in dates.folders {
        let folder = format!("{kind}/{date}");
        let Names { folders, objects, strays: more } = match source.names_in(&folder) {
            Ok(names) => names,
            Err(error) => {
                cannot(folder, error)?;
                continue;
            }
        };
        strays.extend(more);
        // In a bucket it can have an object's name, and readers find what is below it.
        strays.extend(folders.iter().map(|name| format!("{folder}/{name}/")));
        names.extend(objects.iter().filter(|name| !is_temporary(name)).map(|name| format!("{folder}/{name}")));
    }
    names[from..].sort_unstable();
    Ok(())
}

/// Whether a file is none that readers take for an object: one that is being written, or that NFS keeps while it is open.
fn is_temporary(name: &str) -> bool {
    name.starts_with(".nfs") || name.starts_with('.') && name.ends_with(".tmp")
}

/// An object that is small if it is what it should be.
pub(super) fn read_small(object: impl Read) -> io::Result<Vec<u8>> {
    const MAX_BYTES: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    object.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a manifest"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has one date with an object in each folder, and cannot list one folder.
    struct Broken(&'static str);

    impl Source for Broken {
        fn name(&self) -> String {
            "broken".to_owned()
        }

        fn names_in(&self, folder: &str) -> io::Result<Names> {
            if folder == self.0 {
                return Err(io::Error::other("a stray key"));
            }
            let is_date = folder.contains('/');
            let (dates, names) = (["date=X".to_owned()], ["a.json".to_owned()]);
            Ok(if is_date {
                Names { objects: names.into(), ..Names::default() }
            } else {
                Names { folders: dates.into(), ..Names::default() }
            })
        }

        fn open(&self, _: &str) -> io::Result<Box<dyn Read + '_>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn a_folder_of_objects_that_cannot_be_listed_is_said_and_the_others_are_read() {
        for folder in ["audit-logs", "audit-logs/date=X"] {
            let listing = list(&Broken(folder)).unwrap();
            assert_eq!(listing.unreadable, [(folder.to_owned(), "a stray key".to_owned())]);
            assert_eq!(listing.manifests, ["manifests/date=X/a.json"]);
            assert_eq!(listing.objects.len(), LogType::ALL.len() - 1);
        }
        assert!(list(&Broken("manifests")).is_err() && list(&Broken("manifests/date=X")).is_err());
    }

    /// A bucket with a key below the name of an object: in the listing that is a folder of the same name.
    struct Below;

    impl Source for Below {
        fn name(&self) -> String {
            "below".to_owned()
        }

        fn names_in(&self, folder: &str) -> io::Result<Names> {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Ok(match folder {
                "audit-logs" => Names { folders: names(&["date=X"]), ..Names::default() },
                "audit-logs/date=X" => Names {
                    folders: names(&["a.json", ".b"]),
                    objects: names(&["a.json", ".c.json", ".a.json.tmp", ".nfs000000000001"]),
                    ..Names::default()
                },
                _ => Names::default(),
            })
        }

        fn open(&self, _: &str) -> io::Result<Box<dyn Read + '_>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn what_is_added_below_the_name_of_an_object_or_under_a_hidden_name_is_listed() {
        let listing = list(&Below).unwrap();
        assert_eq!(listing.objects, ["audit-logs/date=X/.c.json", "audit-logs/date=X/a.json"]);
        assert_eq!(listing.strays, ["audit-logs/date=X/a.json/", "audit-logs/date=X/.b/"]);
    }
}

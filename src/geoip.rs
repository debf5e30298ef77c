//! Where an address is: city, country and continent from a file in MaxMind's format, looked up on the worker.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>. The fields are those of GeoLite2 and GeoIP2 (City, Country, Enterprise), which
//! other makers of such files use as well.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions, path};

use crate::diagnostics::contained;
use crate::error::Error;
use crate::record::Location;

type Database = Reader<Vec<u8>>;

/// Larger than any file of this kind that is sold; the file is held in memory.
const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024;
/// How often a file is read again that changes while it is read.
const MAX_READS: u32 = 3;

/// The file, and what it held when it was last read.
pub(crate) struct Places {
    path: PathBuf,
    /// Counts how often the file was read, so that a reader knows that its copy is old without a lock.
    generation: AtomicU64,
    current: Mutex<Arc<Database>>,
}

impl Places {
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let database = load(&path)?;
        Ok(Self { path, generation: AtomicU64::new(1), current: Mutex::new(Arc::new(database)) })
    }

    /// Reads the file again. If it is broken, what it held before stays in use.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let database = Arc::new(load(&self.path)?);
        let old = std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), database);
        self.generation.fetch_add(1, Ordering::Release);
        drop(old);
        Ok(())
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("path", &self.path).finish_non_exhaustive()
    }
}

fn load(path: &PathBuf) -> Result<Database, Error> {
    let fail = |why: &dyn fmt::Display| format!("geoip_file (TOWER_AUDIT_GEOIP_FILE): {}: {why}", path.display());
    let bytes = read(path).map_err(|error| Error::setting(fail(&error)).with_source(error))?;
    let parsed = contained("the reader of the location file", || {
        let database = Reader::from_source(bytes)?;
        let found = count_located(&database)?;
        Ok::<_, MaxMindDbError>((database, found))
    });
    let (database, located) = match parsed {
        Some(Ok(read)) => read,
        Some(Err(error)) => {
            return Err(
                Error::setting(fail(&format_args!("no whole file in MaxMind's format: {error}"))).with_source(error)
            );
        }
        None => return Err(Error::setting(fail(&"no whole file in MaxMind's format"))),
    };
    if located == 0 {
        let kind: String = database.metadata().database_type.chars().take(80).collect();
        let why =
            format!("it has no city, country or continent for any network: its type is {kind:?}, not one of locations");
        return Err(Error::setting(fail(&why)));
    }
    Ok(database)
}

/// Reads the file. One that is written to meanwhile would be half of each: then it is read again.
fn read(path: &PathBuf) -> io::Result<Vec<u8>> {
    for _ in 0..MAX_READS {
        let file = File::open(path)?;
        let before = file.metadata()?;
        if before.len() > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 2 GiB"));
        }
        let mut bytes = Vec::new();
        (&file).take(MAX_FILE).read_to_end(&mut bytes)?;
        let after = file.metadata()?;
        let is_whole = bytes.len() as u64 == after.len();
        if is_whole && before.len() == after.len() && before.modified().ok() == after.modified().ok() {
            return Ok(bytes);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "it is written to while it is read; put a new file in its place by a rename",
    ))
}

/// Reads each entry of the file once, so that a file that is broken in its middle is found out now.
fn count_located(database: &Database) -> Result<usize, MaxMindDbError> {
    let (mut seen, mut located) = (HashSet::new(), 0);
    // More than a tree can have leaves: one that leads back into itself never ends.
    let most = (database.metadata().node_count as usize).saturating_mul(2).saturating_add(2);
    for (at, entry) in database.networks(WithinOptions::default())?.enumerate() {
        if at > most {
            return Err(MaxMindDbError::invalid_database("its tree leads back into itself"));
        }
        let entry = entry?;
        if entry.offset().is_some_and(|offset| seen.insert(offset)) && decode(&entry)?.is_some() {
            located += 1;
        }
    }
    Ok(located)
}

fn decode(found: &LookupResult<'_, Vec<u8>>) -> Result<Option<Location>, MaxMindDbError> {
    if !found.has_data() {
        return Ok(None);
    }
    let city: Option<&str> = found.decode_path(&path!["city", "names", "en"])?;
    let country: Option<&str> = found.decode_path(&path!["country", "iso_code"])?;
    let continent: Option<&str> = match found.decode_path(&path!["continent", "names", "en"])? {
        None => found.decode_path(&path!["continent", "code"])?,
        name => name,
    };
    if city.is_none() && country.is_none() && continent.is_none() {
        return Ok(None);
    }
    let bounded = |text: Option<&str>| text.map(|text| crate::capture::name(text.to_owned()));
    Ok(Some(Location { city: bounded(city), country: bounded(country), continent: bounded(continent) }))
}

/// What the worker has looked up: a fixed number of places, in which a later address replaces an earlier one.
#[derive(Default)]
pub(crate) struct Cache {
    generation: u64,
    database: Option<Arc<Database>>,
    slots: Vec<Option<(IpAddr, Option<Location>)>>,
}

impl Cache {
    /// About 0.5 MiB when it is full.
    const SLOTS: usize = 4096;

    /// Where an address is; `None` if nobody knows, or it is not a public address.
    pub(crate) fn find(&mut self, places: &Places, ip: IpAddr) -> Option<&Location> {
        if !is_public(ip) {
            return None;
        }
        let generation = places.generation.load(Ordering::Acquire);
        if self.generation != generation {
            self.generation = generation;
            self.database = Some(places.current.lock().unwrap_or_else(PoisonError::into_inner).clone());
            self.slots.clear();
            self.slots.resize(Self::SLOTS, None);
        }
        let database = self.database.as_ref()?;
        let slot = self.slots.get_mut(slot_of(ip))?;
        if !matches!(slot, Some((known, _)) if *known == ip) {
            let look = || database.lookup(ip).and_then(|found| decode(&found)).ok().flatten();
            *slot = Some((ip, contained("the location file", look).flatten()));
        }
        slot.as_ref()?.1.as_ref()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("generation", &self.generation).finish_non_exhaustive()
    }
}

fn slot_of(ip: IpAddr) -> usize {
    let bits = match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.segments().into_iter().fold(0, |bits: u64, part| bits.rotate_left(16) ^ u64::from(part)),
    };
    // The upper bits of a product depend on all bits: Knuth's multiplicative hashing.
    let upper = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Cache::SLOTS.ilog2());
    usize::try_from(upper).unwrap_or(0)
}

/// Whether an address can be somewhere: those of private networks, loopback, documentation and the like are nowhere
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, and the one for IPv6).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && b & 0xc0 == 64;
    let is_benchmarking = a == 198 && b & 0xfe == 18;
    let is_protocol = (a, b, c) == (192, 0, 0);
    let is_reserved = a == 0 || a >= 240;
    let is_local = ip.is_private() || ip.is_loopback() || ip.is_link_local();
    let is_nowhere = ip.is_documentation() || ip.is_multicast() || is_shared || is_benchmarking || is_protocol;
    !(is_local || is_nowhere || is_reserved)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let is_documentation = segments[..2] == [0x2001, 0xdb8] || (segments[0] == 0x3fff && segments[1] < 0x1000);
    let is_local = ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local();
    !(is_local || is_documentation || ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_somewhere() {
        for ip in [
            "10.0.0.1",
            "172.16.5.4",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "::1",
            "::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "3fff:fff::1",
            "::ffff:10.0.0.1",
            "::ffff:192.0.2.1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "81.2.69.142",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "192.0.1.1",
            "2001:4860::1",
            "2a02:e900::",
            "::ffff:81.2.69.142",
            "4000::1",
            "3fff:1000::1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn addresses_next_to_each_other_have_different_slots() {
        let slots: HashSet<_> = (0..1024).map(|at| slot_of(Ipv4Addr::from_bits(0x5102_0000 + at).into())).collect();
        assert!(slots.len() > 900, "{}", slots.len());
        assert!(slots.iter().all(|slot| *slot < Cache::SLOTS));
    }
}

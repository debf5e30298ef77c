//! The real forwarders, started with the configurations of `examples/forwarders` in a folder of the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a stopped forwarder stays so at least, once what the test waits for has happened: `FORWARDER_STOP_SECONDS`, or no
/// longer than that.
pub(crate) fn least_stop() -> Duration {
    let seconds = std::env::var("FORWARDER_STOP_SECONDS");
    Duration::from_secs(seconds.map_or(0, |seconds| seconds.parse().expect("FORWARDER_STOP_SECONDS is a number")))
}

/// Longer than anything takes on a busy machine.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(60) + least_stop()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Rsyslog,
    SyslogNg,
    Vector,
    FluentBit,
}

impl Program {
    pub(crate) const ALL: [Self; 4] = [Self::Rsyslog, Self::SyslogNg, Self::Vector, Self::FluentBit];

    /// Its folder in `examples/forwarders`, and the name by which `check` knows it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rsyslog => "rsyslog",
            Self::SyslogNg => "syslog-ng",
            Self::Vector => "vector",
            Self::FluentBit => "fluent-bit",
        }
    }

    fn executable(self) -> &'static str {
        match self {
            Self::Rsyslog => "rsyslogd",
            Self::SyslogNg | Self::Vector | Self::FluentBit => self.name(),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Rsyslog | Self::SyslogNg | Self::FluentBit => "conf",
            Self::Vector => "yaml",
        }
    }

    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::Rsyslog => "RSYSLOGD",
            Self::SyslogNg => "SYSLOG_NG",
            Self::Vector => "VECTOR",
            Self::FluentBit => "FLUENT_BIT",
        }
    }

    /// From the environment, else where Debian installs it; says so if there is none.
    pub(crate) fn find(self) -> Option<PathBuf> {
        if let Some(path) = std::env::var_os(self.variable()) {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "{} names {}, which does not exist", self.variable(), path.display());
            return Some(path);
        }
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/opt/fluent-bit/bin"];
        let found = folders.iter().map(|folder| Path::new(folder).join(self.executable())).find(|path| path.is_file());
        if found.is_none() {
            println!("SKIPPED: {} is not installed, and {} does not name it", self.name(), self.variable());
        }
        found
    }
}

/// A folder of one test: what the application writes, what the forwarder writes, and what the forwarder remembers.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for inner in ["in", "out", "state", "pods"] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn path(&self, inner: &str) -> PathBuf {
        self.folder.path().join(inner)
    }

    /// What the application writes, and the forwarder reads.
    pub(crate) fn stdout(&self) -> PathBuf {
        self.path("in/stdout.log")
    }

    pub(crate) fn audit(&self) -> Vec<u8> {
        fs::read(self.path("out/audit.log")).unwrap_or_default()
    }

    pub(crate) fn rest(&self) -> Vec<u8> {
        fs::read(self.path("out/rest.log")).unwrap_or_default()
    }

    /// Bytes that the application wrote and the forwarder has not.
    pub(crate) fn unread(&self) -> u64 {
        let length = |inner| fs::metadata(self.path(inner)).map_or(0, |file| file.len());
        length("in/stdout.log").saturating_sub(length("out/audit.log") + length("out/rest.log"))
    }

    /// The configuration as it is in `examples/forwarders`, with other folders.
    fn configuration(&self, program: Program, name: &str) -> PathBuf {
        let file = format!("{name}.{}", program.extension());
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/forwarders").join(program.name());
        let mut text = fs::read_to_string(examples.join(&file)).unwrap();
        for (installed, here) in [
            ("/var/log/audit", "out"),
            ("/var/log/app", "in"),
            ("/run/app", "in"),
            ("/var/log/pods", "pods"),
            ("/var/spool/rsyslog", "state"),
            ("/var/lib/vector", "state"),
            ("/var/lib/fluent-bit", "state"),
        ] {
            text = text.replace(installed, self.path(here).to_str().unwrap());
        }
        let path = self.path(&file);
        fs::write(&path, text).unwrap();
        path
    }

    /// Waits until what was written is enough. A forwarder has no event to wait for: this looks again and again.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            let said = || fs::read_to_string(self.path("said")).unwrap_or_default();
            assert!(
                began.elapsed() < patience(),
                "waited for {what}; {} bytes of audit lines, {} of others; it said {}",
                self.audit().len(),
                self.rest().len(),
                said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A running forwarder; it is killed when the test fails.
pub(crate) struct Forwarder {
    child: Child,
}

impl Forwarder {
    /// Starts it with `NAME.conf`. It reads the pipe as its standard input where it has no other way to read one.
    pub(crate) fn start(program: Program, name: &str, place: &Place) -> Self {
        let configuration = place.configuration(program, name);
        let mut command = Command::new(program.find().expect("it was found before"));
        match program {
            Program::Rsyslog => {
                command.arg("-n").arg("-f").arg(configuration).arg("-i").arg(place.path("state/pid"));
            }
            Program::SyslogNg => {
                command.arg("-F").arg("-f").arg(configuration).arg("-R").arg(place.path("state/persist"));
                command.arg("-c").arg(place.path("state/control")).arg("-p").arg(place.path("state/pid"));
            }
            Program::Vector => {
                command.arg("--quiet").arg("--config").arg(configuration);
            }
            Program::FluentBit => {
                command.arg("-c").arg(configuration);
            }
        }
        let said = File::options().create(true).append(true).open(place.path("said")).unwrap();
        let stdin = match File::open(place.path("in/stdout.pipe")) {
            Ok(pipe) if program == Program::Vector => Stdio::from(pipe),
            _ => Stdio::null(),
        };
        // A killed rsyslogd leaves its pid file, and does not start with the pid of another process in it.
        let _ = fs::remove_file(place.path("state/pid"));
        let child = command.stdin(stdin).stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        Self { child }
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(&self.child, signal);
    }

    /// Stops it as its service manager does.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        self.child.wait().unwrap();
    }

    /// Ends it without a warning. The kernel may break off a write then: the beginning of a line is removed from the output,
    /// as a receiver would that sees a connection break.
    pub(crate) fn kill(mut self, place: &Place) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for name in ["out/audit.log", "out/rest.log"] {
            let path = place.path(name);
            let text = fs::read(&path).unwrap_or_default();
            let whole = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
            if whole < text.len() {
                File::options().write(true).open(path).unwrap().set_len(whole as u64).unwrap();
            }
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn kill(child: &Child, signal: &str) {
    // The shell's own `kill`: not every machine has the program.
    let kill = format!("kill -s {signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

//! What operators meet: every setting, every complaint, and which of two sources wins.

use super::*;

fn settings(vars: &[(&str, &str)]) -> Settings {
    Settings::from_vars(vars.iter().copied()).unwrap()
}

fn complaint(vars: &[(&str, &str)]) -> String {
    let error = Settings::from_vars(vars.iter().copied()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Setting);
    error.to_string()
}

#[test]
fn nothing_said_leaves_everything_to_code() {
    let settings = settings(&[("PATH", "/bin"), ("TOWER_AUDITOR", "x"), ("tower_audit_enabled", "x")]);
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.describe(), []);
}

#[test]
fn every_setting_is_read_from_the_environment() {
    let settings = settings(&[
        ("TOWER_AUDIT_ENABLED", "false"),
        ("TOWER_AUDIT_SERVICE", "backstage"),
        ("TOWER_AUDIT_SINK", "file:///var/log/audit%20trail.log"),
        ("TOWER_AUDIT_FORMAT", "csv"),
        ("TOWER_AUDIT_CSV_COLUMNS", "seq,actor.ip"),
        ("TOWER_AUDIT_OMIT", "addresses, bodies"),
        ("TOWER_AUDIT_ROTATE_BYTES", "100MiB"),
        ("TOWER_AUDIT_ROTATE_EVERY", "24h"),
        ("TOWER_AUDIT_KEEP_FILES", "90"),
        ("TOWER_AUDIT_KEEP_FOR", "90d"),
        ("TOWER_AUDIT_ALLOW", "Task*,kind:task list"),
        ("TOWER_AUDIT_DENY", "READ_INFO_SUCCESS"),
        ("TOWER_AUDIT_STAGES", "both"),
        ("TOWER_AUDIT_DELIVERY", "lossy"),
        ("TOWER_AUDIT_READS", "debug"),
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "250ms"),
        ("TOWER_AUDIT_QUEUE_RECORDS", "16"),
        ("TOWER_AUDIT_QUEUE_BYTES", "1MiB"),
        ("TOWER_AUDIT_MAX_LINE_BYTES", "8000"),
        ("TOWER_AUDIT_MAX_BODY_BYTES", "0"),
        ("TOWER_AUDIT_TRUSTED_PROXIES", "10.0.0.0/8, ::1,unix"),
        ("TOWER_AUDIT_CLIENT_IP_HEADER", "X-Forwarded-For"),
        ("TOWER_AUDIT_REDACT_KEYS", "nickname, shoe size"),
        ("TOWER_AUDIT_REDACT_EXCEPT", "tokens_used"),
        ("TOWER_AUDIT_USER_AGENT_KEY", "userAgent"),
        ("TOWER_AUDIT_BODY_AS", "string"),
        ("TOWER_AUDIT_AUDIT_ID_HEADER", "yes"),
        ("TOWER_AUDIT_GEOIP_FILE", "/var/lib/geoip/city.mmdb"),
        ("TOWER_AUDIT_EXPORT_ENABLED", "true"),
        ("TOWER_AUDIT_EXPORT_CRON", "0 3 * * *"),
        ("TOWER_AUDIT_EXPORT_URL", "file:///mnt/archive"),
        ("TOWER_AUDIT_EXPORT_SPOOL", "file:///var/log/export.log"),
        ("TOWER_AUDIT_EXPORT_SPOOL_BYTES", "1GiB"),
        ("TOWER_AUDIT_EXPORT_FORMAT", "json"),
        ("TOWER_AUDIT_EXPORT_CSV_COLUMNS", "timestamp,eventName"),
        ("TOWER_AUDIT_EXPORT_OMIT", "location,bodies"),
        ("TOWER_AUDIT_EXPORT_GZIP", "on"),
        ("TOWER_AUDIT_EXPORT_EVENTS", "artifact, cve_updated"),
        ("TOWER_AUDIT_EXPORT_REPOSITORIES", "main"),
        ("TOWER_AUDIT_EXPORT_SCOPES", "group/sub"),
        ("TOWER_AUDIT_EXPORT_LOG_TYPES", "client"),
        ("TOWER_AUDIT_EXPORT_TIMEZONE", "Europe/Berlin"),
        ("TOWER_AUDIT_EXPORT_JITTER", "5m"),
        ("TOWER_AUDIT_EXPORT_OBJECT_BYTES", "1MiB"),
        ("TOWER_AUDIT_EXPORT_ROLE_ARN", "arn:aws:iam::123456789012:role/LogsWriter"),
        ("TOWER_AUDIT_EXPORT_EXTERNAL_ID", "acme-1"),
        ("TOWER_AUDIT_EXPORT_KMS_KEY_ID", "alias/audit"),
        ("TOWER_AUDIT_EXPORT_ACL", "bucket-owner-full-control"),
        ("TOWER_AUDIT_UNKNOWN", "warn"),
    ]);
    let expected = Settings {
        enabled: Some(false),
        service: Some("backstage".into()),
        sink: Some(SinkChoice::File("/var/log/audit trail.log".into())),
        format: Some(FormatChoice::Csv),
        csv_columns: Some("seq,actor.ip".parse().unwrap()),
        omit: Some(vec![FieldGroup::Addresses, FieldGroup::Bodies]),
        rotate_bytes: Some(100 << 20),
        rotate_every: Some(Duration::from_secs(86_400)),
        keep_files: Some(90),
        keep_for: Some(Duration::from_secs(90 * 86_400)),
        allow: Some(vec!["Task*".into(), "kind:task list".into()]),
        deny: Some(vec!["READ_INFO_SUCCESS".into()]),
        stages: Some(Stages::Both),
        delivery: Some(Delivery::Lossy),
        reads: Some(Reads::Debug),
        admission_timeout: Some(Duration::from_millis(250)),
        queue_records: Some(16),
        queue_bytes: Some(1 << 20),
        max_line_bytes: Some(8_000),
        max_body_bytes: Some(0),
        trusted_proxies: Some(["10.0.0.0/8", "::1", "unix"].map(|peer| peer.parse().unwrap()).into()),
        client_ip_header: Some(HeaderName::from_static("x-forwarded-for")),
        redact_keys: Some(vec!["nickname".into(), "shoe size".into()]),
        redact_except: Some(vec!["tokens_used".into()]),
        user_agent_key: Some(UserAgentKey::UserAgent),
        body_as: Some(BodyAs::String),
        audit_id_header: Some(true),
        geoip_file: Some("/var/lib/geoip/city.mmdb".into()),
        export_enabled: Some(true),
        export_cron: Some("0 3 * * *".into()),
        export_url: Some("file:///mnt/archive".into()),
        export_spool: Some("/var/log/export.log".into()),
        export_spool_bytes: Some(1 << 30),
        export_format: Some("json".into()),
        export_csv_columns: Some("timestamp,eventName".into()),
        export_omit: Some(vec![FieldGroup::Location, FieldGroup::Bodies]),
        export_gzip: Some(true),
        export_events: Some(vec!["artifact".into(), "cve_updated".into()]),
        export_repositories: Some(vec!["main".into()]),
        export_scopes: Some(vec!["group/sub".into()]),
        export_log_types: Some(vec!["client".into()]),
        export_timezone: Some("Europe/Berlin".into()),
        export_jitter: Some(Duration::from_secs(300)),
        export_object_bytes: Some(1 << 20),
        export_role_arn: Some("arn:aws:iam::123456789012:role/LogsWriter".into()),
        export_external_id: Some("acme-1".into()),
        export_kms_key_id: Some("alias/audit".into()),
        export_acl: Some("bucket-owner-full-control".into()),
        unknown: Some(Unknown::Warn),
        chosen: settings.chosen.clone(),
        warnings: Vec::new(),
    };
    assert_eq!(settings, expected);
    let told = settings.describe();
    assert_eq!(told.iter().map(|(key, _)| *key).collect::<Vec<_>>(), TABLE.iter().map(|s| s.key).collect::<Vec<_>>());
    assert_eq!(told[0], ("enabled", "false (environment)".to_owned()));
}

#[test]
fn a_wrong_column_is_refused_with_what_is_allowed() {
    let text = complaint(&[("TOWER_AUDIT_FORMAT", "csv"), ("TOWER_AUDIT_CSV_COLUMNS", "seq,actor.ipp")]);
    assert!(
        text.starts_with("TOWER_AUDIT_CSV_COLUMNS: given \"seq,actor.ipp\", allowed: flat, client_log, audit_log, or")
    );
    assert!(text.contains("the nearest is `actor.ip`"), "{text}");
    assert!(
        complaint(&[("TOWER_AUDIT_FORMAT", "xml")]).ends_with("json, json_timestamp, csv, combined, common, key_value")
    );
    assert!(complaint(&[("TOWER_AUDIT_OMIT", "ip")]).contains("given \"ip\", allowed: eula, location, addresses"));
    assert!(complaint(&[("TOWER_AUDIT_DENY", "a b")]).contains("given \"a b\""));
}

#[test]
fn all_complaints_come_at_once_and_say_what_is_allowed() {
    let text = complaint(&[
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "5"),
        ("TOWER_AUDIT_STAGES", "initiation"),
        ("TOWER_AUDIT_DELIVERY", "strong"),
        ("TOWER_AUDIT_READS", "none"),
        ("TOWER_AUDIT_USER_AGENT_KEY", "useragent"),
        ("TOWER_AUDIT_QUEUE_RECORDS", "0"),
        ("TOWER_AUDIT_QUEUE_BYTES", "1GB"),
        ("TOWER_AUDIT_MAX_LINE_BYTES", "2KiB"),
        ("TOWER_AUDIT_TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/33"),
        ("TOWER_AUDIT_CLIENT_IP_HEADER", "X Real IP"),
        ("TOWER_AUDIT_SERVICE", "a\nb"),
        ("TOWER_AUDIT_ENABLED", ""),
        ("TOWER_AUDIT_REDACT_KEYS", "ok,\u{1}"),
        ("TOWER_AUDIT_SINK", "/var/log/audit.log"),
        ("TOWER_AUDIT_ROTATE_BYTES", "1KiB"),
        ("TOWER_AUDIT_ROTATE_EVERY", "daily"),
        ("TOWER_AUDIT_KEEP_FILES", "0"),
    ]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "TOWER_AUDIT_ADMISSION_TIMEOUT: given \"5\", allowed: 0s to 600s, with a unit such as 5s (ms, s, m, h, d)",
            "TOWER_AUDIT_CLIENT_IP_HEADER: given \"X Real IP\", \
             allowed: the name of a header, such as X-Forwarded-For, Forwarded or X-Real-IP",
            "TOWER_AUDIT_DELIVERY: given \"strong\", allowed: lossy, backpressure, durable, fail_closed",
            "TOWER_AUDIT_ENABLED: given nothing, allowed: true, false (or yes, no, on, off, 1, 0)",
            "TOWER_AUDIT_KEEP_FILES: given \"0\", allowed: a whole number from 1 to 1000000",
            "TOWER_AUDIT_MAX_LINE_BYTES: given \"2KiB\", \
             allowed: 4KiB to 16MiB, as bytes or with a unit such as 64KiB (B, KiB, MiB, GiB)",
            "TOWER_AUDIT_QUEUE_BYTES: given \"1GB\", \
             allowed: 64KiB to 16GiB, as bytes or with a unit such as 64KiB (B, KiB, MiB, GiB)",
            "TOWER_AUDIT_QUEUE_RECORDS: given \"0\", allowed: a whole number from 1 to 16777216",
            "TOWER_AUDIT_READS: given \"none\", allowed: skip, lossy, debug, record",
            "TOWER_AUDIT_REDACT_KEYS: given \"\\u{1}\", \
             allowed: phrases of 1 to 64 bytes with a letter and without control characters, separated by commas",
            "TOWER_AUDIT_ROTATE_BYTES: given \"1KiB\", \
             allowed: 64KiB to 1024GiB, as bytes or with a unit such as 64KiB (B, KiB, MiB, GiB)",
            "TOWER_AUDIT_ROTATE_EVERY: given \"daily\", \
             allowed: 60s to 31622400s, with a unit such as 5s (ms, s, m, h, d)",
            "TOWER_AUDIT_SERVICE: given \"a\\nb\", allowed: 1 to 128 bytes of text without control characters",
            "TOWER_AUDIT_SINK: given \"/var/log/audit.log\", \
             allowed: stdout, stderr, or the URL of a file such as file:///var/log/app/audit.log",
            "TOWER_AUDIT_STAGES: given \"initiation\", allowed: completion, both",
            "TOWER_AUDIT_TRUSTED_PROXIES: given \"10.0.0.0/33\", allowed: networks such as 10.0.0.0/8 or fd00::/8, \
             single addresses such as ::1, or the word unix for Unix sockets",
            "TOWER_AUDIT_USER_AGENT_KEY: given \"useragent\", allowed: client, userAgent, both",
        ]
    );
}

#[test]
fn an_unknown_setting_is_named_and_its_value_is_not() {
    let text = complaint(&[
        // The one letter that is missing, a later version's name, the wrong case, and no name at all.
        ("TOWER_AUDIT_QUEUE_RECORD", "hunter2"),
        ("TOWER_AUDIT_EXPORT_EXTERNAL_IDS", "hunter2"),
        ("TOWER_AUDIT_enabled", "hunter2"),
        ("TOWER_AUDIT_", "hunter2"),
    ]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "unknown setting TOWER_AUDIT_enabled",
            "unknown setting TOWER_AUDIT_",
            "unknown setting TOWER_AUDIT_EXPORT_EXTERNAL_IDS",
            "unknown setting TOWER_AUDIT_QUEUE_RECORD",
        ]
    );
    assert!(lines[4].starts_with("allowed are TOWER_AUDIT_CONFIG, TOWER_AUDIT_ENABLED, "), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn unknown_settings_can_be_warnings_and_bad_ones_cannot() {
    let warned = settings(&[("TOWER_AUDIT_UNKNOWN", "warn"), ("TOWER_AUDIT_EXPORT_LATER", "@daily")]);
    assert_eq!(warned.warnings(), ["unknown setting TOWER_AUDIT_EXPORT_LATER"]);
    let text = complaint(&[
        ("TOWER_AUDIT_UNKNOWN", "warn"),
        ("TOWER_AUDIT_EXPORT_LATER", "x"),
        ("TOWER_AUDIT_ADMISSION_TIMEOUT", "x"),
    ]);
    assert_eq!(text.lines().count(), 1, "{text}");
    // A bad value of the switch itself leaves the default.
    let text = complaint(&[("TOWER_AUDIT_UNKNOWN", "warning"), ("TOWER_AUDIT_EXPORT_LATER", "x")]);
    assert!(
        text.contains("allowed: error, warn") && text.contains("unknown setting TOWER_AUDIT_EXPORT_LATER"),
        "{text}"
    );
}

#[test]
fn what_kubernetes_injects_is_ignored() {
    let settings = settings(&[
        ("TOWER_AUDIT_SERVICE", "mine"),
        ("TOWER_AUDIT_SERVICE_HOST", "10.96.0.1"),
        ("TOWER_AUDIT_SERVICE_PORT", "80"),
        ("TOWER_AUDIT_SERVICE_PORT_HTTP_METRICS", "80"),
        ("TOWER_AUDIT_PORT", "tcp://10.96.0.1:80"),
        ("TOWER_AUDIT_PORT_80_TCP", "tcp://10.96.0.1:80"),
        ("TOWER_AUDIT_PORT_80_TCP_PROTO", "tcp"),
        ("TOWER_AUDIT_VIEWER_SERVICE_HOST", "10.96.0.2"),
    ]);
    assert_eq!(settings.describe(), [("service", "mine (environment)".to_owned())]);
}

#[cfg(unix)]
#[test]
fn bytes_that_are_not_utf_8_are_refused_by_name() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let error = Settings::from_vars([
        (bytes(b"TOWER_AUDIT_SERVICE"), bytes(b"\xff")),
        (bytes(b"TOWER_AUDIT_NEW"), bytes(b"\xff")),
        (bytes(b"TOWER_AUDIT_\xff"), bytes(b"x")),
        (bytes(b"OTHER_\xff"), bytes(b"\xff")),
    ])
    .unwrap_err()
    .to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines[..3],
        [
            "TOWER_AUDIT_SERVICE: given bytes that are not UTF-8, allowed: UTF-8",
            "unknown setting TOWER_AUDIT_NEW",
            "unknown setting \"TOWER_AUDIT_\u{fffd}\"",
        ]
    );
}

#[test]
fn an_empty_config_is_no_file() {
    let text = complaint(&[("TOWER_AUDIT_CONFIG", "")]);
    assert_eq!(text, "TOWER_AUDIT_CONFIG: given nothing, allowed: the path of a TOML file");
}

#[cfg(not(feature = "toml"))]
#[test]
fn a_file_without_the_feature_is_an_error_that_names_it() {
    let text = complaint(&[("TOWER_AUDIT_CONFIG", "/etc/audit.toml")]);
    assert!(text.contains("/etc/audit.toml") && text.contains("feature `toml`"), "{text}");
}

#[cfg(feature = "toml")]
mod file {
    use std::error::Error as _;
    use std::path::PathBuf;

    use super::*;

    /// A settings file that is gone after the test.
    struct TempFile(PathBuf);

    impl TempFile {
        fn new(content: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("tower-audit-{}.toml", uuid::Uuid::new_v4()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }

        fn read(&self, vars: &[(&str, &str)]) -> Result<Settings, Error> {
            let mut vars = vars.to_vec();
            vars.push(("TOWER_AUDIT_CONFIG", self.0.to_str().unwrap()));
            Settings::from_vars(vars)
        }

        fn complaint(&self, vars: &[(&str, &str)]) -> String {
            self.read(vars).unwrap_err().to_string().replace(self.0.to_str().unwrap(), "FILE")
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_file_takes_typed_values_and_strings() {
        let typed = TempFile::new(
            b"enabled = false\nqueue_records = 16\nqueue_bytes = 1048576\ntrusted_proxies = ['10.0.0.0/8', '::1']\n",
        );
        let texts = TempFile::new(
            b"enabled = 'false'\nqueue_records = '16'\nqueue_bytes = '1MiB'\ntrusted_proxies = '10.0.0.0/8, ::1'\n",
        );
        let (typed, texts) = (typed.read(&[]).unwrap(), texts.read(&[]).unwrap());
        for settings in [&typed, &texts] {
            assert_eq!((settings.enabled, settings.queue_records), (Some(false), Some(16)));
            assert_eq!(settings.queue_bytes, Some(1 << 20));
            assert_eq!(settings.trusted_proxies.as_ref().map(Vec::len), Some(2));
        }
        assert!(typed.describe().contains(&("trusted_proxies", "10.0.0.0/8,::1 (file)".to_owned())));
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = TempFile::new(b"admission_timeout = '1s'\nservice = 'file'\ntrusted_proxies = ['10.0.0.0/8']\n");
        let settings =
            file.read(&[("TOWER_AUDIT_ADMISSION_TIMEOUT", "2s"), ("TOWER_AUDIT_TRUSTED_PROXIES", "")]).unwrap();
        assert_eq!(settings.admission_timeout, Some(Duration::from_secs(2)));
        assert_eq!(settings.service.as_deref(), Some("file"));
        assert_eq!(settings.trusted_proxies, Some(Vec::new()));
        let told = settings.describe();
        assert_eq!(
            told.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
            ["config", "service", "admission_timeout", "trusted_proxies"]
        );
        assert_eq!(told[1].1, "file (file)");
        assert_eq!(told[2].1, "2s (environment)");
    }

    #[test]
    fn complaints_about_the_file_name_it_and_join_the_others() {
        let file = TempFile::new(
            b"admission_timeout = 5\nqueue_records = 1.5\nstages = ['both']\nservice = {}\nexport_later = 'hunter2'\nconfig = 'x'\n",
        );
        let text = file.complaint(&[("TOWER_AUDIT_ENABLED", "maybe")]);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.pop();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "\"admission_timeout\" in FILE: given \"5\", allowed: 0s to 600s, with a unit such as 5s (ms, s, m, h, d)",
                "\"queue_records\" in FILE: given a floating-point number, \
                 allowed: a string, a boolean, a whole number, or an array of strings",
                "\"service\" in FILE: given a table, \
                 allowed: a string, a boolean, a whole number, or an array of strings",
                "\"stages\" in FILE: given an array, allowed: completion, both",
                "TOWER_AUDIT_ENABLED: given \"maybe\", allowed: true, false (or yes, no, on, off, 1, 0)",
                "unknown setting \"config\" in FILE",
                "unknown setting \"export_later\" in FILE",
            ]
        );
    }

    #[test]
    fn the_file_can_say_what_happens_to_unknown_settings() {
        let file = TempFile::new(b"unknown = 'warn'\nexport_later = '@daily'\n");
        assert_eq!(file.read(&[("TOWER_AUDIT_NOT_KNOWN", "csv")]).unwrap().warnings().len(), 2);
        assert!(file.read(&[("TOWER_AUDIT_UNKNOWN", "error")]).is_err());
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_by_its_line_without_its_content() {
        let file = TempFile::new(b"admission_timeout = '5s'\nservice = hunter2\n");
        assert_eq!(file.complaint(&[]), "TOWER_AUDIT_CONFIG: FILE, line 2, is not TOML");
        let file = TempFile::new(b"");
        assert_eq!(file.read(&[]).unwrap().describe().len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_its_reason() {
        let error = Settings::from_vars([("TOWER_AUDIT_CONFIG", "/nowhere/audit.toml")]).unwrap_err();
        assert!(error.to_string().starts_with("TOWER_AUDIT_CONFIG: cannot read /nowhere/audit.toml: "), "{error}");
        assert!(error.source().is_some());
        let long = TempFile::new(&vec![b'#'; (1 << 20) + 1]);
        assert!(long.complaint(&[]).contains("longer than 1 MiB"));
        let binary = TempFile::new(b"\xff\xfe");
        assert!(binary.complaint(&[]).contains("cannot read FILE"));
    }
}

#[test]
fn other_names_of_settings_are_read_ours_come_first_and_complaints_name_what_was_given() {
    const ALIASES: &[(&str, &str)] =
        &[("REPO_ENABLE", "TOWER_AUDIT_EXPORT_ENABLED"), ("REPO_FS", "TOWER_AUDIT_EXPORT_URL")];
    let read = |vars: &[(&str, &str)]| Settings::from_vars_and_aliases(vars.iter().copied(), ALIASES);
    let settings = read(&[("REPO_ENABLE", "true"), ("REPO_FS", "/mnt/a"), ("REPO_OTHER", "x")]).unwrap();
    assert_eq!((settings.export_enabled, settings.export_url.as_deref()), (Some(true), Some("/mnt/a")));
    assert_eq!(settings.name_of("export_url", "export"), "REPO_FS");
    assert_eq!(settings.name_of("export_cron", "schedule"), "schedule");
    let settings = read(&[("REPO_FS", "nonsense"), ("TOWER_AUDIT_EXPORT_URL", "/mnt/b")]).unwrap();
    assert_eq!(settings.export_url.as_deref(), Some("/mnt/b"));
    assert_eq!(settings.name_of("export_url", "export"), "TOWER_AUDIT_EXPORT_URL");
    let error = read(&[("REPO_FS", "file://{BASE_PATH}/statedir/audit-logs")]).unwrap_err().to_string();
    assert!(error.starts_with("REPO_FS: given") && error.contains("write the path itself"), "{error}");
}

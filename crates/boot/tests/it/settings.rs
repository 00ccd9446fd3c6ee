use std::{io::Write, path::Path};

use examhall_boot::settings::{
    ApiSettings, LogFormat, MailerSettings, Purpose, SettingsArgs, SettingsError, Values, env_example,
};
use secrecy::ExposeSecret;

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

fn api(pairs: &[(&str, &str)]) -> Result<ApiSettings, SettingsError> {
    let given = [("AUTH_SECRET", SECRET)].into_iter().chain(pairs.iter().copied());
    ApiSettings::checked(&Values::from_pairs(given)?)
}

fn mailer(pairs: &[(&str, &str)]) -> Result<MailerSettings, SettingsError> {
    MailerSettings::checked(&Values::from_pairs(pairs.iter().copied())?)
}

fn from_toml(text: &str) -> Result<Values, SettingsError> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("writable");
    Values::load(&SettingsArgs { config: Some(file.path().to_owned()), set: vec![] })
}

fn sentence<T>(result: Result<T, SettingsError>) -> String {
    result.err().expect("must be rejected").to_string()
}

#[test]
fn without_sources_the_documented_defaults_hold() {
    let api = api(&[]).expect("defaults are good");
    assert_eq!(api.bind.to_string(), "127.0.0.1:8000");
    assert_eq!(api.ops_bind.to_string(), "127.0.0.1:9000");
    assert_eq!(api.public_url.as_str(), "http://localhost:8000/");
    assert_eq!(api.redis_url.expose_secret(), "redis://127.0.0.1:6379");
    assert_eq!(api.database_url.expose_secret(), "sqlite://data/examhall.db?mode=rwc");
    assert!(api.database_auto_migrate);
    assert_eq!((api.queue.name.as_str(), api.queue.prefix.as_str()), ("email", "bull"));
    assert_eq!((api.queue.lock.as_secs(), api.queue.stalled_interval.as_secs()), (30, 30));
    assert_eq!((api.cache_prefix.as_str(), api.trusted_proxies.len(), api.cors_origins.len()), ("", 0, 0));
    assert_eq!(api.log.filter, "info");

    let mailer = mailer(&[]).expect("defaults are good");
    assert_eq!((mailer.concurrency, mailer.ops_bind.to_string().as_str()), (5, "127.0.0.1:9001"));
    assert_eq!(mailer.smtp_url.expose_secret(), "file:data/mail");
    assert_eq!(mailer.smtp_timeout.as_millis(), 30_000);
    assert_eq!(mailer.mail_from, "Examhall <no-reply@localhost>");
    assert!(mailer.keep_bodies);
}

#[test]
fn a_later_source_wins() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "mailer_concurrency = 7\nlog_format = \"pretty\"\nqueue_name = \"post\"").expect("writable");
    let args = SettingsArgs { config: Some(file.path().to_owned()), set: vec!["LOG_FORMAT=json".into()] };
    let mailer = MailerSettings::checked(&Values::load(&args).expect("loads")).expect("good");
    assert_eq!((mailer.concurrency, mailer.queue.name.as_str()), (7, "post"));
    assert_eq!(mailer.log.format, LogFormat::Json);
}

#[test]
fn an_unknown_key_is_rejected_with_the_nearest_name() {
    let refused = sentence(from_toml("redis_ulr = \"redis://localhost\""));
    assert!(refused.contains("redis_ulr") && refused.contains("did you mean REDIS_URL?"), "{refused}");
    assert!(sentence(from_toml("colour = 1")).contains(".env.example lists them all"));
    assert!(sentence(from_toml("[redis]\nurl = \"x\"")).contains("redis must be one plain value"));
    assert!(sentence(from_toml("redis_url = ")).contains("cannot be read as settings"));
}

#[test]
fn flags_take_settings_but_no_secrets() {
    let load = |flag: &str| Values::load(&SettingsArgs { config: None, set: vec![flag.into()] });
    assert!(sentence(load("LOG_FORMAT")).contains("NAME=VALUE"));
    assert!(sentence(load("LOG_FROMAT=json")).contains("did you mean LOG_FORMAT?"));
    let refused = sentence(load("AUTH_SECRET=hunter2hunter2hunter2hunter2hunter2"));
    assert!(refused.contains("AUTH_SECRET_FILE") && !refused.contains("hunter2"), "{refused}");
}

#[test]
fn malformed_values_are_rejected_with_what_is_expected() {
    for (name, value, expected) in [
        ("APP_ENV", "prod", "development or production"),
        ("API_BIND", "8000", "an address and port like 127.0.0.1:8000"),
        ("PUBLIC_URL", "ftp://x", "a URL like https://"),
        ("PUBLIC_URL", "https://x.example/?a=b", "without ?, # and // in its path"),
        ("PUBLIC_URL", "https://x.example/a#b", "without ?, # and // in its path"),
        ("PUBLIC_URL", "https://x.example//a", "without ?, # and // in its path"),
        ("DATABASE_AUTO_MIGRATE", "maybe", "true or false"),
        ("QUEUE_LOCK_MS", "-1", "a whole number from 100"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, here", "CIDRs like 10.0.0.0/8"),
        ("CORS_ORIGINS", "https://a.example/path", "origins like https://"),
        ("CACHE_PREFIX", "{x}", "without { and }"),
        ("LOG_FORMAT", "xml", "pretty or json"),
        ("RUST_LOG", "info,=,", "a filter like info"),
    ] {
        let refused = sentence(api(&[(name, value)]));
        assert!(refused.starts_with(name) && refused.contains(expected) && refused.contains(value), "{refused}");
    }
    assert!(sentence(mailer(&[("MAILER_CONCURRENCY", "0")])).contains("a whole number from 1 to 1000, not \"0\""));
}

#[test]
fn contradictions_are_rejected() {
    let refused = sentence(api(&[("QUEUE_STALLED_INTERVAL_MS", "500"), ("QUEUE_LOCK_MS", "1000")]));
    assert!(refused.contains("QUEUE_STALLED_INTERVAL_MS (500) is below QUEUE_LOCK_MS (1000)"), "{refused}");
    assert!(sentence(api(&[("API_OPS_BIND", "127.0.0.1:8000")])).contains("API_BIND and API_OPS_BIND"));
}

#[test]
fn production_rejects_insecure_defaults() {
    let production = ("APP_ENV", "production");
    assert!(sentence(api(&[production])).contains("PUBLIC_URL"));
    assert!(api(&[production, ("PUBLIC_URL", "https://exams.example.com")]).is_ok());
    assert!(sentence(ApiSettings::checked(&Values::from_pairs([production]).expect("reads"))).contains("AUTH_SECRET"));
    assert!(sentence(mailer(&[production])).contains("SMTP_URL"));
    assert!(mailer(&[production, ("SMTP_URL", "smtps://mail.example.com")]).is_ok());
    assert!(!api(&[production, ("PUBLIC_URL", "https://x.example")]).expect("good").database_auto_migrate);
}

#[test]
fn a_secret_comes_from_a_file_or_directly_but_not_both() {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    writeln!(file, "{SECRET}").expect("writable");
    let path = file.path().to_str().expect("UTF-8");
    let from_file = Values::from_pairs([("AUTH_SECRET_FILE", path)]).expect("reads");
    assert_eq!(ApiSettings::checked(&from_file).expect("good").auth_secrets.signing().expose_secret(), SECRET);

    let twice = Values::from_pairs([("AUTH_SECRET_FILE", path), ("AUTH_SECRET", SECRET)]);
    assert!(sentence(twice).contains("AUTH_SECRET and AUTH_SECRET_FILE are both given"));
    let gone = Values::from_pairs([("REDIS_URL_FILE", "/nowhere/redis")]);
    assert!(sentence(gone).contains("REDIS_URL_FILE /nowhere/redis"));
}

#[test]
fn an_empty_value_counts_as_not_given() {
    assert_eq!(api(&[("API_BIND", "")]).expect("good").bind.to_string(), "127.0.0.1:8000");
}

#[test]
fn debug_and_errors_show_no_secret() {
    let password = "hunter2hunter2hunter2hunter2hunter2";
    let url = format!("redis://u:{password}@h");
    let values = [("AUTH_SECRET", password), ("REDIS_URL", &url), ("DATABASE_URL", &url), ("SMTP_URL", &url)];
    let given = Values::from_pairs(values).expect("reads");
    let api = ApiSettings::checked(&given).expect("good");
    let shown = format!("{given:?} {api:?} {:?}", MailerSettings::checked(&given).expect("good"));
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("QUEUE_NAME"));
    assert!(!sentence(self::api(&[("AUTH_SECRET", "hunter2")])).contains("hunter2"));
}

#[test]
fn env_example_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.env.example");
    let expected = env_example();
    if std::env::var_os("UPDATE_ENV_EXAMPLE").is_some() {
        std::fs::write(&path, &expected).expect("writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        ".env.example is stale: UPDATE_ENV_EXAMPLE=1 cargo nextest run -p examhall-boot env_example"
    );
}

#[test]
fn a_check_needs_no_more_than_the_addresses_of_the_servers() {
    let urls = [("APP_ENV", "production"), ("REDIS_URL", "redis://h"), ("DATABASE_URL", "postgres://h/d")];
    let check = |more: &[(&'static str, &'static str)]| {
        let pairs = urls.iter().chain(more).copied();
        ApiSettings::checked_for(&Values::from_pairs(pairs).expect("reads"), Purpose::Check)
    };
    let settings = check(&[]).expect("good");
    assert_eq!(settings.missing, ["AUTH_SECRET", "PUBLIC_URL"]);
    assert_eq!(settings.origins, "APP_ENV is production; REDIS_URL from given, DATABASE_URL from given");
    let complete = [("AUTH_SECRET", SECRET), ("PUBLIC_URL", "https://exams.example.com")];
    assert_eq!(check(&complete).expect("good").missing, [""; 0]);
    assert!(sentence(check(&[("PUBLIC_URL", "http://exams.example.com")])).contains("must be https"));
    assert!(sentence(check(&[("AUTH_SECRET", "short")])).contains("AUTH_SECRET must be at least 32 bytes"));
}

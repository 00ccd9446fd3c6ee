//! Typed and validated settings of each process.

use std::{io::IsTerminal, net::SocketAddr, time::Duration};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    AppEnv, Purpose,
    SettingsError::{self, Contradiction},
    Values,
    auth_secret::{AuthSecrets, auth_secrets},
    brand::{BrandSettings, brand},
    hooks::{HookSettings, SuppressionSettings},
};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Log format and filter.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `RUST_LOG`, in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub filter: String,
}

/// Queue settings.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `QUEUE_NAME`.
    pub name: String,
    /// `QUEUE_PREFIX`.
    pub prefix: String,
    /// `QUEUE_LOCK_MS`.
    pub lock: Duration,
    /// `QUEUE_STALLED_INTERVAL_MS`.
    pub stalled_interval: Duration,
}

/// Settings of `api`.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `APP_ENV`.
    pub env: AppEnv,
    /// `REDIS_URL`.
    pub redis_url: SecretString,
    /// `DATABASE_URL`.
    pub database_url: SecretString,
    /// `DATABASE_AUTO_MIGRATE`.
    pub database_auto_migrate: bool,
    /// `DATABASE_CONNECTIONS`.
    pub database_connections: u32,
    /// `API_BIND`.
    pub bind: SocketAddr,
    /// `API_OPS_BIND`.
    pub ops_bind: SocketAddr,
    /// `API_DRAIN_DELAY_MS`.
    pub drain_delay: Duration,
    /// How many threads handle requests: one for each core, and no more than `API_THREADS`.
    pub threads: usize,
    /// `PUBLIC_URL`.
    pub public_url: Url,
    /// `AUTH_SECRET`.
    pub auth_secrets: AuthSecrets,
    /// `CONSOLE`.
    pub console: bool,
    /// `BRAND_*`, `SUPPORT_EMAIL`, `MAIL_REPLY_TO` and `MAIL_TEMPLATES`.
    pub brand: BrandSettings,
    /// `QUEUE_*`.
    pub queue: QueueSettings,
    /// `CACHE_PREFIX`.
    pub cache_prefix: String,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// `CORS_ORIGINS`, each as `scheme://host[:port]`.
    pub cors_origins: Vec<String>,
    /// `MAIL_HOOK_*`.
    pub hooks: HookSettings,
    /// `MAIL_SUPPRESSION*`.
    pub suppressions: SuppressionSettings,
    /// `LOG_FORMAT` and `RUST_LOG`.
    pub log: LogSettings,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub collector: Option<Url>,
    /// What they are, for `check`: the environment, and where the addresses of the servers are from.
    pub origins: String,
    /// Settings that must be given to run, and are not. Empty unless they were read for [`Purpose::Check`].
    pub missing: Vec<&'static str>,
}

/// DKIM settings.
#[derive(Clone, Debug)]
pub struct DkimSettings {
    /// `DKIM_KEY`.
    pub key: SecretString,
    /// `DKIM_SELECTOR`.
    pub selector: String,
    /// `DKIM_DOMAIN`; by default that of `MAIL_FROM`.
    pub domain: Option<String>,
}

/// Settings of `mailer`.
#[derive(Clone, Debug)]
pub struct MailerSettings {
    /// `REDIS_URL`.
    pub redis_url: SecretString,
    /// `QUEUE_*`.
    pub queue: QueueSettings,
    /// `MAIL_FROM`.
    pub mail_from: String,
    /// `MAIL_RETURN_PATH`.
    pub return_path: Option<String>,
    /// `MAIL_SUPPRESSION*`.
    pub suppressions: SuppressionSettings,
    /// `MAIL_REDIRECT_TO`.
    pub redirect_to: Option<String>,
    /// `MAIL_ALLOW`.
    pub allow: Option<String>,
    /// `SMTP_URL`.
    pub smtp_url: SecretString,
    /// `SMTP_EHLO_NAME`.
    pub ehlo_name: Option<String>,
    /// `SMTP_TIMEOUT_MS`.
    pub smtp_timeout: Duration,
    /// `SMTP_FINAL_TIMEOUT_MS`.
    pub smtp_final_timeout: Duration,
    /// `SMTP_PROBE_MS`.
    pub probe_interval: Duration,
    /// Whether `MAIL_IN_DOUBT` is `hold`.
    pub hold_in_doubt: bool,
    /// `DKIM_*`.
    pub dkim: Option<DkimSettings>,
    /// `MAIL_KEEP_BODIES`.
    pub keep_bodies: bool,
    /// `MAILER_CONCURRENCY`.
    pub concurrency: usize,
    /// `MAILER_OPS_BIND`.
    pub ops_bind: SocketAddr,
    /// `LOG_FORMAT` and `RUST_LOG`.
    pub log: LogSettings,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub collector: Option<Url>,
    /// What they are, for `check`: the environment, and where the addresses of the servers are from.
    pub origins: String,
}

impl ApiSettings {
    /// Validates the settings of `api`, to run it.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn checked(values: &Values) -> Result<Self, SettingsError> {
        Self::checked_for(values, Purpose::Run)
    }

    /// Validates the settings of `api`.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn checked_for(values: &Values, purpose: Purpose) -> Result<Self, SettingsError> {
        let env = AppEnv::checked(values)?;
        let is_missing = |name: &&str| env == AppEnv::Production && !values.is_given(name);
        let missing: Vec<_> = match purpose {
            Purpose::Run => Vec::new(),
            Purpose::Check => ["AUTH_SECRET", "PUBLIC_URL"].into_iter().filter(is_missing).collect(),
        };
        let settings = Self {
            env,
            redis_url: values.secret("REDIS_URL"),
            database_url: values.secret("DATABASE_URL"),
            database_auto_migrate: values.switch("DATABASE_AUTO_MIGRATE", env == AppEnv::Development)?,
            database_connections: u32::try_from(values.number("DATABASE_CONNECTIONS", 2..=1000)?).unwrap_or(1000),
            bind: values.address("API_BIND")?,
            ops_bind: values.address("API_OPS_BIND")?,
            drain_delay: match (values.get("API_DRAIN_DELAY_MS"), env) {
                (None, AppEnv::Development) => Duration::ZERO,
                (None, AppEnv::Production) => Duration::from_secs(5),
                _ => values.millis("API_DRAIN_DELAY_MS", 0..=60_000)?,
            },
            threads: threads(values)?,
            public_url: values.http_url("PUBLIC_URL")?,
            auth_secrets: auth_secrets(values, env, purpose)?,
            console: values.switch("CONSOLE", true)?,
            brand: brand(values, env)?,
            queue: queue(values)?,
            cache_prefix: cache_prefix(values)?,
            trusted_proxies: values.list("TRUSTED_PROXIES", "CIDRs like 10.0.0.0/8", |cidr| cidr.parse().ok())?,
            cors_origins: values.list("CORS_ORIGINS", "origins like https://app.example.com", origin)?,
            hooks: HookSettings::checked(values)?,
            suppressions: SuppressionSettings::checked(values)?,
            log: log(values)?,
            collector: collector(values)?,
            origins: origins(values, env, &["REDIS_URL", "DATABASE_URL"]),
            missing,
        };
        if settings.bind == settings.ops_bind && settings.bind.port() != 0 {
            return Err(Contradiction(format!(
                "API_BIND and API_OPS_BIND are both {}: give health and metrics a separate port",
                settings.bind
            )));
        }
        let is_checked = !settings.missing.contains(&"PUBLIC_URL");
        if env == AppEnv::Production && is_checked && settings.public_url.scheme() != "https" {
            return Err(Contradiction(format!(
                "PUBLIC_URL is {}, but APP_ENV is production: links in mails must be https",
                settings.public_url
            )));
        }
        Ok(settings)
    }
}

impl MailerSettings {
    /// Validates the settings of `mailer`.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn checked(values: &Values) -> Result<Self, SettingsError> {
        let env = AppEnv::checked(values)?;
        let smtp_url = values.secret("SMTP_URL");
        if env == AppEnv::Production && smtp_url.expose_secret().split(',').any(|url| url.trim().starts_with("file:")) {
            return Err(Contradiction(
                "SMTP_URL writes mails into files, but APP_ENV is production: set it to smtp:// or smtps://".to_owned(),
            ));
        }
        Ok(Self {
            redis_url: values.secret("REDIS_URL"),
            queue: queue(values)?,
            mail_from: values.text("MAIL_FROM").to_owned(),
            return_path: values.get("MAIL_RETURN_PATH").map(ToOwned::to_owned),
            suppressions: SuppressionSettings::checked(values)?,
            redirect_to: values.get("MAIL_REDIRECT_TO").map(ToOwned::to_owned),
            allow: values.get("MAIL_ALLOW").map(ToOwned::to_owned),
            smtp_url,
            ehlo_name: values.get("SMTP_EHLO_NAME").map(ToOwned::to_owned),
            smtp_timeout: values.millis("SMTP_TIMEOUT_MS", 1..=50_000)?,
            smtp_final_timeout: values.millis("SMTP_FINAL_TIMEOUT_MS", 1..=600_000)?,
            probe_interval: values.millis("SMTP_PROBE_MS", 10..=3_600_000)?,
            hold_in_doubt: match values.text("MAIL_IN_DOUBT") {
                "resend" => false,
                "hold" => true,
                _ => return Err(values.malformed("MAIL_IN_DOUBT", "resend or hold")),
            },
            dkim: values.get("DKIM_KEY").map(|key| DkimSettings {
                key: SecretString::from(key),
                selector: values.text("DKIM_SELECTOR").to_owned(),
                domain: values.get("DKIM_DOMAIN").map(ToOwned::to_owned),
            }),
            keep_bodies: values.switch("MAIL_KEEP_BODIES", env == AppEnv::Development)?,
            concurrency: usize::try_from(values.number("MAILER_CONCURRENCY", 1..=1000)?).unwrap_or(1000),
            ops_bind: values.address("MAILER_OPS_BIND")?,
            log: log(values)?,
            collector: collector(values)?,
            origins: origins(values, env, &["REDIS_URL", "SMTP_URL"]),
        })
    }
}

fn origins(values: &Values, env: AppEnv, names: &[&str]) -> String {
    format!("APP_ENV is {}; {}", env.as_str(), values.origins(names))
}

fn threads(values: &Values) -> Result<usize, SettingsError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match values.get("API_THREADS") {
        None => Ok(cores),
        Some(_) => Ok(usize::try_from(values.number("API_THREADS", 1..=1024)?).unwrap_or(1024).min(cores)),
    }
}

fn queue(values: &Values) -> Result<QueueSettings, SettingsError> {
    let queue = QueueSettings {
        name: values.text("QUEUE_NAME").to_owned(),
        prefix: values.text("QUEUE_PREFIX").to_owned(),
        lock: values.millis("QUEUE_LOCK_MS", 100..=3_600_000)?,
        stalled_interval: values.millis("QUEUE_STALLED_INTERVAL_MS", 100..=3_600_000)?,
    };
    if queue.stalled_interval < queue.lock {
        return Err(Contradiction(format!(
            "QUEUE_STALLED_INTERVAL_MS ({}) is below QUEUE_LOCK_MS ({}): a job would be reclaimed before its lock ends",
            queue.stalled_interval.as_millis(),
            queue.lock.as_millis()
        )));
    }
    Ok(queue)
}

fn log(values: &Values) -> Result<LogSettings, SettingsError> {
    let format = match values.get("LOG_FORMAT") {
        None if std::io::stdout().is_terminal() => LogFormat::Pretty,
        None | Some("json") => LogFormat::Json,
        Some("pretty") => LogFormat::Pretty,
        Some(_) => return Err(values.malformed("LOG_FORMAT", "pretty or json")),
    };
    let filter = values.text("RUST_LOG").to_owned();
    if filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
        return Err(values.malformed("RUST_LOG", "a filter like info or examhall_queue=debug,info"));
    }
    Ok(LogSettings { format, filter })
}

fn collector(values: &Values) -> Result<Option<Url>, SettingsError> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let wanted = "like http://127.0.0.1:4318, a local collector, which forwards by TLS";
    let parse = |text| Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    values.get(NAME).map(|text| parse(text).ok_or_else(|| values.malformed(NAME, wanted))).transpose()
}

fn cache_prefix(values: &Values) -> Result<String, SettingsError> {
    let prefix = values.get("CACHE_PREFIX").unwrap_or_default();
    if prefix.contains(['{', '}']) {
        return Err(values.malformed("CACHE_PREFIX", "without { and }: they would move keys between cluster slots"));
    }
    Ok(prefix.to_owned())
}

fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    Some(url.origin().ascii_serialization()).filter(|origin| origin == text.trim_end_matches('/'))
}

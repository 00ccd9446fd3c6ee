//! The table of all settings.

/// One setting.
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// Default; `None` if it depends on other settings, or there is none.
    pub(super) default: Option<&'static str>,
    /// Whether its value is never shown, and may come from `NAME_FILE`.
    pub(super) secret: bool,
    /// Description for `.env.example`, with the default in words if `default` has none.
    pub(super) description: &'static str,
}

const fn plain(name: &'static str, default: &'static str, description: &'static str) -> Setting {
    Setting { name, default: Some(default), secret: false, description }
}

const fn unset(name: &'static str, description: &'static str) -> Setting {
    Setting { name, default: None, secret: false, description }
}

const fn secret(name: &'static str, default: Option<&'static str>, description: &'static str) -> Setting {
    Setting { name, default, secret: true, description }
}

pub(super) const SETTINGS: &[Setting] = &[
    plain("APP_ENV", "development", "development or production; production rejects insecure defaults."),
    secret(
        "REDIS_URL",
        Some("redis://127.0.0.1:6379"),
        "redis://, rediss:// (TLS), redis-sentinel://h:p?sentinelServiceName=m&node=h:p, redis-cluster://, \
         redis+unix:///path. Percent-encode the password.",
    ),
    secret(
        "DATABASE_URL",
        Some("sqlite://data/examhall.db?mode=rwc"),
        "sqlite:// or postgres://. Only the API uses it.",
    ),
    unset("DATABASE_AUTO_MIGRATE", "Whether the API migrates the database at start. Default: true in development."),
    plain(
        "DATABASE_CONNECTIONS",
        "16",
        "Connections to the database that one API uses for requests, 2 to 1000; one more is for its readiness probe. All \
         APIs together must stay below PostgreSQL's max_connections.",
    ),
    plain("API_BIND", "127.0.0.1:8000", "Address and port of the public API."),
    plain("API_OPS_BIND", "127.0.0.1:9000", "Address and port of the API's health and metrics."),
    unset(
        "API_DRAIN_DELAY_MS",
        "How long a stopping API still answers while it is not ready, so that load balancers stop sending requests first. \
         Default: 0 in development, 5000 in production.",
    ),
    unset(
        "API_THREADS",
        "Most threads that handle requests, 1 to 1024, on a machine with more cores: each takes about 19 MB in a storm of \
         requests. Default: one for each core.",
    ),
    plain(
        "PUBLIC_URL",
        "http://localhost:8000",
        "Base URL of links in mails. It may have a path, which the proxy then removes before it passes a request on.",
    ),
    secret(
        "AUTH_SECRET",
        None,
        "Signs access tokens and encrypts mails in the outbox; at least 32 bytes. Several, comma-separated, while it is \
         changed: the first signs and encrypts, all verify and decrypt. Default: in development one is generated and stored \
         under data/.",
    ),
    plain("CONSOLE", "on", "on or off: whether the API serves the operators' console at /console."),
    plain("MAIL_FROM", "Examhall <no-reply@localhost>", "From address of mails."),
    unset(
        "MAIL_RETURN_PATH",
        "Address that bounces come back to, the envelope's sender: bounces@example.com. A * in it becomes the mail's id (VERP), \
         so that each bounce names its mail: bounces+*@example.com. Default: MAIL_FROM.",
    ),
    plain(
        "MAIL_SUPPRESSION_DAYS",
        "90",
        "How long no mail goes to an address that was refused as nonexistent, or bounced, or complained. What an operator \
         suppresses stays suppressed.",
    ),
    plain(
        "MAIL_SUPPRESSIONS_PER_MINUTE",
        "50",
        "Addresses that one mail server or provider may suppress within a minute. If there are more, it is probably wrong: they \
         are held, stop no mail, and wait for `mailer suppressions confirm` or `remove`.",
    ),
    unset(
        "MAIL_HOOK_SES_TOPICS",
        "ARNs of the SNS topics, comma-separated, whose notifications POST /hooks/mail/ses takes. Default: none.",
    ),
    secret(
        "MAIL_HOOK_POSTMARK_LOGIN",
        None,
        "user:password that Postmark sends to POST /hooks/mail/postmark (basic authentication). Default: the hook is off.",
    ),
    secret(
        "MAIL_HOOK_RESEND_SECRET",
        None,
        "Signing secret of POST /hooks/mail/resend, such as whsec_...; several, comma-separated, while it is changed. \
         Default: the hook is off.",
    ),
    secret(
        "MAIL_HOOK_MAILGUN_KEY",
        None,
        "HTTP webhook signing key of POST /hooks/mail/mailgun; several, comma-separated, while it is changed. Default: \
         the hook is off.",
    ),
    plain("BRAND_NAME", "Examhall", "Name that mails and their pages show."),
    plain(
        "BRAND_COLOR",
        "#1f5fbf",
        "Colour of buttons and links in mails and on their pages, #rrggbb. Text on it is black or white, whichever is easier \
         to read.",
    ),
    unset(
        "BRAND_LOGO_URL",
        "Image at the top of mails and their pages, shown 40 pixels high. Default: the name as text.",
    ),
    unset("SUPPORT_EMAIL", "Address for questions, in the footer of mails and pages. Default: none."),
    unset("MAIL_REPLY_TO", "Where replies to the API's mails go. Default: to MAIL_FROM."),
    unset(
        "MAIL_TEMPLATES",
        "Folder whose files replace the built-in templates of mails and pages, or add languages; read and checked when the \
         API starts. Default: none.",
    ),
    secret(
        "SMTP_URL",
        Some("file:data/mail"),
        "smtp://user:pass@host:587?tls=required (STARTTLS), smtps://host:465, smtp://host:25?tls=none; several, \
         comma-separated, in order of preference. Each may have rate=14/s,500/h,2000/d, recipient_rate, domain_rate and \
         connections=N, counted over all mailers, preset=ses, microsoft365 or google, and ca=FILE (PEM), the authority of its certificate. auth=xoauth2 logs in by access tokens: see \
         docs/mailer.md. file:DIR writes each mail as an .eml file.",
    ),
    unset(
        "SMTP_EHLO_NAME",
        "Name of this machine for mail servers, as DNS has it. Default: its fully qualified host name, else the address of \
         the connection, such as [192.0.2.1].",
    ),
    plain("SMTP_TIMEOUT_MS", "30000", "Longest wait for one step of an SMTP dialogue."),
    plain(
        "SMTP_FINAL_TIMEOUT_MS",
        "600000",
        "Longest wait for the reply to a message: 10 minutes, as RFC 5321 asks; a stopping mailer waits 50 s.",
    ),
    plain(
        "SMTP_PROBE_MS",
        "30000",
        "Interval at which a provider is probed that refuses the login or MAIL_FROM; one that is down is probed after 5, \
         10, 20 s and then at this interval.",
    ),
    plain(
        "MAIL_IN_DOUBT",
        "resend",
        "resend or hold: what happens to a mail that may have been delivered although no reply arrived. Verification and \
         reset mails are always sent again; a held mail waits for `mailer queue retry`.",
    ),
    unset(
        "MAIL_REDIRECT_TO",
        "For staging: the address that gets every mail, in place of its recipients, whom the header X-Original-To names. \
         Default: none.",
    ),
    unset(
        "MAIL_ALLOW",
        "For staging: who may get mails, comma-separated: domains (school.example, *.school.example for those below it) and \
         addresses. Mails to others are withheld. Default: everybody.",
    ),
    secret(
        "DKIM_KEY",
        None,
        "Private keys (PEM) that mails are signed with: RSA, Ed25519, or both one after the other. Default: none, as the relay \
         signs.",
    ),
    plain(
        "DKIM_SELECTOR",
        "mail",
        "DNS names of the DKIM keys, comma-separated in their order: SELECTOR._domainkey.DOMAIN.",
    ),
    unset("DKIM_DOMAIN", "Signing domain. Default: that of MAIL_FROM."),
    unset(
        "MAIL_KEEP_BODIES",
        "Whether Redis keeps the html, text and attachments of mails that were sent, or that failed and have expired. \
         Default: true in development.",
    ),
    plain("QUEUE_NAME", "email", "BullMQ's queue name."),
    plain("QUEUE_PREFIX", "bull", "BullMQ's key prefix; on Redis Cluster with a hash tag: {bull}."),
    plain("QUEUE_LOCK_MS", "30000", "How long a worker without heartbeat keeps its jobs."),
    plain("QUEUE_STALLED_INTERVAL_MS", "30000", "Interval at which jobs of dead workers are reclaimed."),
    unset("CACHE_PREFIX", "Prefix of every cache key. Default: empty."),
    unset(
        "TRUSTED_PROXIES",
        "CIDRs, comma-separated, whose X-Forwarded-For counts, or Forwarded without it. Default: none.",
    ),
    unset("CORS_ORIGINS", "Origins, comma-separated, whose pages may call the API. Default: none."),
    plain("MAILER_CONCURRENCY", "5", "Mails that one mailer sends concurrently."),
    plain("MAILER_OPS_BIND", "127.0.0.1:9001", "Address and port of the mailer's health and metrics."),
    unset("LOG_FORMAT", "pretty or json. Default: pretty on a terminal, else json."),
    plain(
        "RUST_LOG",
        "info",
        "Which events are logged: error, warn, info, debug, trace, or examhall_queue=debug,info.",
    ),
    unset(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OpenTelemetry collector of traces (OTLP over HTTP), such as http://127.0.0.1:4318. Default: none; nothing is \
         recorded.",
    ),
];

pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Returns the setting with the most similar name, if any is similar.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    SETTINGS
        .iter()
        .map(|setting| (strsim::damerau_levenshtein(setting.name, name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

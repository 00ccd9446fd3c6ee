//! `api check`: whether everything that the API needs can be used, and how to fix what cannot.

use std::path::Path;

use examhall_boot::{
    check::{self, Check, Report, State},
    settings::{ApiSettings, AppEnv},
};
use examhall_core::EmailJob;
use examhall_queue::{Connection, INSPECTIONS, Queue, Suitability};
use examhall_store::{MigrationState, Store};
use secrecy::ExposeSecret;

use crate::{state::now, templates::Templates};

const DATABASE: Check = Check {
    name: "database",
    fix: "fix DATABASE_URL (percent-encode the password), or let the server accept this user",
};
const MIGRATIONS: Check = Check { name: "migrations", fix: "run `api migrate` with the version that is to run" };
const TEMPLATES: Check = Check {
    name: "mail templates",
    fix: "fix the file of MAIL_TEMPLATES that is named, at that line; docs/mail-templates.md lists what each one may show",
};
const REPLICATION: Check = Check {
    name: "database kind",
    fix: "let DATABASE_URL name PostgreSQL, or keep to one machine and copy the file with `sqlite3 FILE '.backup COPY'`",
};

/// Why SQLite is no database for production.
pub(crate) const SQLITE_IN_PRODUCTION: &str = "DATABASE_URL is SQLite, but APP_ENV is production: one machine only, one \
    writer at a time, no fail-over, and backups are yours to make";

/// Whether [`SQLITE_IN_PRODUCTION`] is to be said.
pub(crate) fn is_sqlite_in_production(settings: &ApiSettings) -> bool {
    settings.env == AppEnv::Production && settings.database_url.expose_secret().starts_with("sqlite:")
}

/// Every check that `api check` makes.
pub(crate) fn all() -> impl Iterator<Item = Check> {
    check::COMMON.into_iter().chain(INSPECTIONS.iter().map(|one| Check { name: one.name, fix: one.fix })).chain([
        DATABASE,
        REPLICATION,
        MIGRATIONS,
        TEMPLATES,
    ])
}

/// Looks at everything.
pub(crate) async fn run(settings: &ApiSettings) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.add(check::SETTINGS, "api", State::Ok, settings.origins.clone());
    for name in &settings.missing {
        report.add(
            check::SETTINGS,
            "api",
            State::Warning,
            format!("{name} is not given, which the API needs to start"),
        );
    }
    look_at_templates(&mut report, settings);
    look_at_redis(&mut report, settings).await?;
    look_at_database(&mut report, settings).await;
    Ok(report)
}

/// Renders all of them with samples.
fn look_at_templates(report: &mut Report, settings: &ApiSettings) {
    match Templates::load(&settings.brand) {
        Ok(templates) => {
            for remark in templates.remarks() {
                report.add(TEMPLATES, "api", State::Warning, remark);
            }
            report.add(TEMPLATES, "api", State::Ok, format!("in {}", templates.languages().join(", ")));
        }
        Err(error) => report.add(TEMPLATES, "api", State::Failed, error.to_string()),
    }
}

async fn look_at_redis(report: &mut Report, settings: &ApiSettings) -> anyhow::Result<()> {
    let url = settings.redis_url.expose_secret();
    let queue = Queue::<EmailJob>::new(Connection::open(url)?, &settings.queue.prefix, &settings.queue.name)?;
    if let Some((host, port)) = check::endpoint(url, 6379)
        && !report.reach("Redis", &host, port).await
    {
        return Ok(());
    }
    for one in queue.inspect().await {
        let state = match one.verdict {
            Suitability::Good => State::Ok,
            Suitability::Risky => State::Warning,
            _ => State::Failed,
        };
        report.add(Check { name: one.check.name, fix: one.check.fix }, "Redis", state, one.found);
    }
    if let Ok(theirs) = queue.server_time().await {
        report.compare_clocks("Redis", theirs, now().as_millis());
    }
    queue.connection().close().await;
    Ok(())
}

async fn look_at_database(report: &mut Report, settings: &ApiSettings) {
    let url = settings.database_url.expose_secret();
    if is_sqlite_in_production(settings) {
        report.add(REPLICATION, "database", State::Warning, SQLITE_IN_PRODUCTION);
    }
    if let Some(file) = url.strip_prefix("sqlite://").map(|rest| rest.split('?').next().unwrap_or_default()) {
        let file = Path::new(file);
        report.look_at_disk("database", file.parent().unwrap_or(Path::new(".")));
        if !file.exists() {
            // Connecting would make it, and a check makes nothing.
            let state = if settings.database_auto_migrate { State::Ok } else { State::Failed };
            report.add(MIGRATIONS, "database", state, format!("{} is not there yet", file.display()));
            return;
        }
    } else if let Some((host, port)) = check::endpoint(url, 5432)
        && !report.reach("database", &host, port).await
    {
        return;
    }
    let store = match Store::connect(url).await {
        Ok(store) => store,
        Err(error) => {
            let found = error.refusal().unwrap_or_else(|| error.to_string());
            return report.add(DATABASE, "database", State::Failed, found);
        }
    };
    report.note(DATABASE, "database", store.ping().await.map(|()| "answers".to_owned()).map_err(|e| e.to_string()));
    look_at_migrations(report, settings, &store).await;
    if let Ok(theirs) = store.clock().await {
        report.compare_clocks("database", theirs.as_millis(), now().as_millis());
    }
    store.close().await;
}

async fn look_at_migrations(report: &mut Report, settings: &ApiSettings, store: &Store) {
    let newer = store.migrations().await.unwrap_or_default();
    let newer = newer.into_iter().filter(|step| step.state == MigrationState::Newer).map(|step| step.name);
    let newer = newer.collect::<Vec<_>>().join(", ");
    let (state, found) = match store.is_migrated().await {
        Ok(true) if newer.is_empty() => (State::Ok, "none is pending".to_owned()),
        Ok(true) => (State::Warning, format!("a newer version has applied {newer}, which this one works with")),
        Ok(false) if settings.database_auto_migrate => (State::Ok, "pending; applied at the next start".to_owned()),
        Ok(false) => (State::Failed, "pending".to_owned()),
        Err(error) => (State::Failed, error.to_string()),
    };
    report.add(MIGRATIONS, "database", state, found);
}

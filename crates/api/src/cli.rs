//! The command line of `api`.

use std::{io::Write, net::Ipv4Addr, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand};
use examhall_boot::{
    check::list,
    live,
    logging::Output,
    metrics::Metrics,
    settings::{ApiSettings, AppEnv, Purpose, SettingsArgs},
    shutdown,
    start::{self, StartError},
    terminal,
};
use examhall_core::{EmailAddress, Locale, Role, check_password};
use examhall_store::{MigrationMove, MigrationState, NewAccount, Store};
use secrecy::ExposeSecret;
use tokio::runtime::Builder;

use crate::{
    Application,
    auth::{Passwords, SecretToken},
    check,
    connect::unusable_database,
    console_link, credentials,
    mail::Previews,
    routes, seed,
    state::now,
    templates::{self, Templates},
};

/// Examhall's HTTP API.
#[derive(Debug, Parser)]
#[command(
    name = "api",
    version,
    after_help = "Settings come from --config, .env, the environment and --set; .env.example lists them all.\n\n\
                  Examples:\n  \
                  api                                   serve on http://127.0.0.1:8000\n  \
                  DATABASE_URL=postgres://localhost/examhall api migrate\n  \
                  api create-user --email ada@example.com --role admin\n  \
                  api check                             is everything there that it needs?\n  \
                  api seed --questions 20 --students 3  make something to look at"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API until stopped (the default)
    Serve,
    /// Bring the database's tables to what this version needs, or to a step before or after it
    #[command(after_help = "Each step is one transaction. Processes that migrate at once wait for each other.\n\n\
                      Examples:\n  \
                      api migrate --status     list every step\n  \
                      api migrate --dry-run    print what would be done\n  \
                      api migrate              apply what is pending\n  \
                      api migrate --to m0008   go back to that step, and lose the data that later ones added\n\n\
                      Before you go back to an older version whose `api check` says that the database is too new, take \
                      the newer steps back with the newer version.")]
    Migrate {
        /// Go up or down to this step, given by its name or number, such as m0008
        #[arg(long, value_name = "STEP")]
        to: Option<String>,
        /// Print what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// List every step and whether it is applied, and change nothing
        #[arg(long, conflicts_with_all = ["to", "dry_run"])]
        status: bool,
    },
    /// Test everything that the API needs, and say how to fix what is wrong
    #[command(
        after_help = "Exit codes: 0 nothing has failed (there may be warnings), 69 something has, 78 bad settings"
    )]
    Check {
        /// Print the findings as one JSON object
        #[arg(long)]
        json: bool,
        /// Print all checks and their fixes, as Markdown, and check nothing
        #[arg(long, conflicts_with = "json")]
        list: bool,
        /// Only ask the API that runs here, at `API_OPS_BIND`, whether it is alive: for health checks of containers
        #[arg(long, conflicts_with_all = ["json", "list"])]
        live: bool,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Make an account whose address needs no proof, such as the first administrator's
    CreateUser {
        /// Its address
        #[arg(long)]
        email: EmailAddress,
        /// What it may do
        #[arg(long)]
        role: Role,
        /// Its owner's name; the address where absent
        #[arg(long)]
        name: Option<String>,
        /// Read the password from the first line of stdin; else one is made and printed
        #[arg(long)]
        password_stdin: bool,
    },
    /// Print a link that logs in to the console once, within 10 minutes; for development
    ConsoleLink {
        /// The account, which is made an administrator's where there is none
        #[arg(long, default_value = "operator@example.com")]
        email: EmailAddress,
    },
    /// Write a mail as HTML to stdout, to look at: `api preview-mail verification > mail.html`
    PreviewMail {
        /// Which one
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(templates::MAILS))]
        name: String,
        /// Write its plain text
        #[arg(long)]
        text: bool,
        /// In this language, such as de
        #[arg(long, value_name = "TAG")]
        locale: Option<Locale>,
    },
    /// Make an author, students and an open exam, and print their ids
    Seed {
        /// How many questions the exam has
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        questions: u32,
        /// How many students there are
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        students: u32,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Does what the command line says; returns the exit code.
pub fn run(args: Args) -> ExitCode {
    start(args).unwrap_or_else(|error| error.report("api"))
}

fn start(args: Args) -> Result<ExitCode, StartError> {
    let command = args.command.unwrap_or(Command::Serve);
    if let Command::Check { list: true, .. } = command {
        let _ = write!(std::io::stdout(), "{}", list(check::all())); // nobody is left to tell where stdout is gone
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Check { live: true, .. } = command {
        return live::check(&args.settings, "API_OPS_BIND");
    }
    let purpose = if matches!(command, Command::Check { .. }) { Purpose::Check } else { Purpose::Run };
    let settings: ApiSettings = start::settings(&args.settings, purpose)?;
    if matches!(command, Command::Seed { .. }) && settings.env == AppEnv::Production {
        let refusal = "seed makes accounts whose password everybody knows, and APP_ENV is production: nothing was made";
        return Err(StartError::Setting(anyhow!(refusal)));
    }
    if matches!(command, Command::ConsoleLink { .. }) && settings.env == AppEnv::Production {
        let refusal = "console-link is for development, and APP_ENV is production: log in with a password";
        return Err(StartError::Setting(anyhow!(refusal)));
    }
    let output = if matches!(command, Command::Serve) { Output::Stdout } else { Output::Stderr };
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(settings.threads);
    start::run(settings, output, runtime, |settings| async move {
        match command {
            Command::Serve => Box::pin(serve(settings, args.settings)).await?,
            Command::Migrate { to, dry_run, status } => migrate(&settings, to.as_deref(), dry_run, status).await?,
            Command::Check { json, .. } => print_check(&settings, json).await?,
            Command::Openapi => print_openapi()?,
            Command::CreateUser { email, role, name, password_stdin } => {
                create_user(&settings, email, role, name, password_stdin).await?;
            }
            Command::ConsoleLink { email } => print_console_link(&settings, email).await?,
            Command::PreviewMail { name, text, locale } => preview_mail(&settings, &name, text, locale.as_ref())?,
            Command::Seed { questions, students, json } => print_seed(&settings, questions, students, json).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn serve(settings: ApiSettings, args: SettingsArgs) -> Result<(), StartError> {
    let stop = shutdown::on_signal()?;
    let (metrics, known) = (Metrics::install(), credentials::Known::of(&settings));
    if let Some(app) = Application::start(settings, metrics, stop.clone()).await? {
        let load = move || start::settings(&args, Purpose::Run);
        tokio::spawn(credentials::follow(app.state(), known, load, stop));
        app.run().await?;
    }
    tracing::info!("Stopped");
    Ok(())
}

async fn migrate(settings: &ApiSettings, to: Option<&str>, dry_run: bool, status: bool) -> Result<(), StartError> {
    let store = connect(settings).await?;
    if status {
        return Ok(print_status(&store).await?);
    }
    if dry_run {
        return print_plan(&store, to).await;
    }
    let done = match to {
        None => store.migrate().await,
        Some(step) => store.migrate_to(step).await,
    };
    done.map_err(not_migrated)?;
    tracing::info!("Database migrated");
    Ok(())
}

async fn print_status(store: &Store) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for step in store.migrations().await.context("DATABASE_URL")? {
        let state = match step.state {
            MigrationState::Applied => "applied",
            MigrationState::Pending => "pending",
            MigrationState::Newer => "newer", // than this version
        };
        writeln!(out, "{state:<8} {}", terminal::line(&step.name))?;
    }
    Ok(())
}

async fn print_plan(store: &Store, to: Option<&str>) -> Result<(), StartError> {
    let mut out = std::io::stdout().lock();
    for one in store.plan(to).await.map_err(not_migrated)? {
        match one {
            MigrationMove::Up(name) => writeln!(out, "apply      {}", terminal::line(&name))?,
            MigrationMove::Down(name) => writeln!(out, "take back  {}", terminal::line(&name))?,
        }
    }
    Ok(())
}

/// Distinguishes a step that does not exist from a database that refuses.
fn not_migrated(error: examhall_store::Error) -> StartError {
    let is_unknown = matches!(error, examhall_store::Error::UnknownStep(_));
    let error = anyhow::Error::from(error).context("the database cannot be migrated");
    if is_unknown { StartError::Usage(error) } else { StartError::Unavailable(error) }
}

async fn connect(settings: &ApiSettings) -> Result<Store, StartError> {
    Store::connect(settings.database_url.expose_secret()).await.map_err(unusable_database)
}

/// Connects to a database whose tables are what this version needs afterwards.
async fn connect_migrated(settings: &ApiSettings) -> Result<Store, StartError> {
    let store = connect(settings).await?;
    store.migrate().await.context("the database cannot be migrated")?;
    Ok(store)
}

async fn create_user(
    settings: &ApiSettings,
    email: EmailAddress,
    role: Role,
    name: Option<String>,
    password_stdin: bool,
) -> Result<(), StartError> {
    let name = name.unwrap_or_else(|| email.as_str().to_owned());
    let password = if password_stdin {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("stdin")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        SecretToken::random().as_str()[..20].to_owned()
    };
    check_password(&password, email.as_str(), &name).map_err(|error| anyhow!("the password {error}"))?;
    let store = connect_migrated(settings).await?;
    let hash = Passwords::new()?
        .hash(Ipv4Addr::LOCALHOST.into(), password.clone())
        .await
        .map_err(|error| anyhow!("{error}"))?;
    let account = NewAccount { email, name, password_hash: hash, role, verified: true, locale: None };
    let ids = store.accounts.create(&[account], now()).await.context("the account was not made")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", ids.first().map(ToString::to_string).unwrap_or_default())?;
    if !password_stdin {
        writeln!(out, "password {password}")?;
    }
    Ok(())
}

async fn print_console_link(settings: &ApiSettings, email: EmailAddress) -> Result<(), StartError> {
    let store = connect_migrated(settings).await?;
    let link = console_link::make(settings, &store, email).await?;
    Ok(writeln!(std::io::stdout(), "{}", terminal::line(&link)).context("stdout")?)
}

async fn print_check(settings: &ApiSettings, json: bool) -> anyhow::Result<()> {
    let report = check::run(settings).await?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        write!(out, "{}", report.to_table())?;
    }
    anyhow::ensure!(report.is_ok(), "something that it needs cannot be used");
    Ok(())
}

fn print_openapi() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&routes::document())?)?)
}

fn preview_mail(settings: &ApiSettings, name: &str, text: bool, locale: Option<&Locale>) -> Result<(), StartError> {
    let templates = Templates::load(&settings.brand).map_err(|error| StartError::Setting(error.into()))?;
    let previews = Previews::new(settings, templates.into()).map_err(|error| StartError::Setting(error.into()))?;
    let job = previews.mail(name, locale).map_err(StartError::Setting)?;
    let mut out = std::io::stdout().lock();
    let body = if text { format!("{}\n\n{}", job.subject, job.text.unwrap_or_default()) } else { job.html };
    for line in body.lines() {
        writeln!(out, "{}", terminal::line(line))?;
    }
    Ok(())
}

async fn print_seed(settings: &ApiSettings, questions: u32, students: u32, json: bool) -> Result<(), StartError> {
    let store = connect_migrated(settings).await?;
    let seeded = seed::seed(&store, questions, students).await?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", terminal::json(&serde_json::to_string(&seeded)?))?;
    } else {
        writeln!(out, "exam     {}  ({questions} questions, open)", seeded.exam_id)?;
        writeln!(out, "author   {}  {}", seeded.author_id, terminal::line(&seeded.author_email))?;
        for (id, email) in seeded.student_ids.iter().zip(&seeded.student_emails) {
            writeln!(out, "student  {id}  {}", terminal::line(email))?;
        }
        writeln!(out, "password {}", seeded.password)?;
    }
    Ok(())
}

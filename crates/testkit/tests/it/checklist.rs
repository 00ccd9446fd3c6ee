//! docs/production-checklist.md: its commands let an installation pass that is ready, and no other.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use examhall_testkit::{
    DatabaseKind, Encryption, Postgres, Process, Redis, RedisOptions, SmtpOptions, SmtpServer, World, binary,
    eventually, free_port,
};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Api, TIMEOUT,
    commands::{commands, root, shell},
    last_number,
};

/// Both programs, with where their ports and files are.
struct Installation {
    world: World,
    folder: TempDir,
    _processes: Vec<Process>,
    settings: Vec<(String, String)>,
    replaced: Vec<(String, String)>,
}

impl Installation {
    async fn start(world: World, admin_url: &str, restore_url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (api, mailer) = (Api::start(&world).await, world.mailer(&[]));
        let api_port = last_number(&api.process.line("Server running on port").await).expect("a port");
        let mut ops = Vec::new();
        for process in [&api.process, &mailer] {
            ops.push(last_number(&process.line("Health and metrics on port").await).expect("a port"));
        }
        let (prometheus, prometheus_port) = prometheus(folder.path(), &ops).await;
        let replaced = [(8000, api_port), (9000, ops[0]), (9001, ops[1]), (9090, prometheus_port)];
        let replaced = replaced.map(|(port, ours)| (format!("localhost:{port}"), format!("127.0.0.1:{ours}")));
        // An operator gives the addresses of the servers alone.
        let mut settings = world.settings();
        settings.retain(|(name, _)| name != "AUTH_SECRET");
        settings.push(("REDIS_ADMIN_URL".to_owned(), admin_url.to_owned()));
        settings.push(("RESTORE_URL".to_owned(), restore_url.to_owned()));
        settings.push(("SMTP_EHLO_NAME".to_owned(), "exams.example.com".to_owned()));
        std::os::unix::fs::symlink(root().join("deploy"), folder.path().join("deploy")).expect("a link");
        let mut replaced: Vec<_> = replaced.into();
        replaced.push((" /etc/".to_owned(), format!(" {}/etc/", folder.path().display())));
        Self { world, folder, _processes: vec![api.process, mailer, prometheus], settings, replaced }
    }

    /// What a command of the checklist ends with.
    async fn run(&self, command: &str) -> Output {
        let line = self.replaced.iter().fold(command.to_owned(), |line, (from, to)| line.replace(from, to));
        let output = shell(&line, self.folder.path(), &self.settings).output();
        tokio::time::timeout(TIMEOUT, output).await.expect(command).expect("a shell")
    }
}

/// A Prometheus that scrapes both programs, with the alerts that are shipped, and an Alertmanager it need not reach.
async fn prometheus(folder: &Path, ops: &[u16]) -> (Process, u16) {
    let port = free_port();
    let rules = root().join("deploy/prometheus/examhall.rules.yml");
    let config = format!(
        "global: {{scrape_interval: 1s}}\nrule_files: [{}]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:9']}}]}}]}}\nscrape_configs:\n\
         - {{job_name: examhall-api, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n\
         - {{job_name: examhall-mailer, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}\n",
        rules.display(),
        ops[0],
        ops[1]
    );
    fs::write(folder.join("prometheus.yml"), config).expect("a file");
    let mut command = Command::new("prometheus");
    command.current_dir(folder).args(["--config.file=prometheus.yml", "--storage.tsdb.path=prometheus"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdin(Stdio::null());
    let process = Process::spawn("prometheus", &mut command);
    process.line("Server is ready to receive web requests").await;
    let targets = format!("http://127.0.0.1:{port}/api/v1/targets");
    eventually("two programs that are scraped", TIMEOUT, async || {
        let known = reqwest::get(&targets).await.ok()?.text().await.ok()?;
        (known.matches("\"health\":\"up\"").count() == 2).then_some(())
    })
    .await;
    (process, port)
}

/// Lines that this document's tests run here.
fn checks() -> Vec<String> {
    let lines = commands("docs/production-checklist.md").into_iter();
    lines.filter(|line| line.mark.is_none()).map(|line| line.command).collect()
}

/// Installs the units below `folder` and writes the secrets, as the guide for systemd says.
async fn install(folder: &Path) {
    let mut command = Command::new("bash");
    command.arg(root().join("deploy/systemd/install")).arg("--destdir").arg(folder);
    command.arg("--binaries").arg(binary("api").parent().expect("a folder"));
    let output = command.output().await.expect("bash");
    assert!(output.status.success(), "{output:?}");
    let lines = commands("docs/deploy-systemd.md").into_iter().map(|line| line.command);
    let secrets: Vec<_> = lines.filter(|line| line.contains("&& umask") || line.starts_with("echo ")).collect();
    assert_eq!(secrets.len(), 4, "{secrets:?}");
    let script = secrets.join("\n").replace("/etc/examhall", &format!("{}/etc/examhall", folder.display()));
    assert!(shell(&script, folder, &[]).status().await.expect("a shell").success(), "{script}");
}

/// A Redis as docs/redis.md has it, with one user who may do what both programs need, since one `REDIS_URL` is used for
/// both. Returns its address, and the administrator's.
async fn careful_redis(redis: &Redis) -> (String, String) {
    let guide = fs::read_to_string(root().join("docs/redis.md")).expect("the guide");
    let is_programs =
        |line: &&str| ["user examhall-api ", "user examhall-mailer "].iter().any(|it| line.starts_with(it));
    let grants: Vec<_> = guide.lines().filter(is_programs).collect();
    assert_eq!(grants.len(), 2);
    for grant in grants {
        let words = grant.split_whitespace().skip(2).filter(|word| !word.starts_with('>') && *word != "-@all");
        let words: Vec<_> = ["ACL", "SETUSER", "examhall", ">change-me"].into_iter().chain(words).collect();
        redis.command::<String>(&words).await;
    }
    for (name, value) in [("appendonly", "yes"), ("maxmemory", "512mb"), ("save", "3600 1"), ("requirepass", "planted")]
    {
        redis.command::<String>(&["CONFIG", "SET", name, value]).await;
    }
    let address = |who: &str| format!("redis://{who}@127.0.0.1:{}", redis.port());
    (address("examhall:change-me"), address("default:planted"))
}

#[tokio::test]
async fn an_installation_that_is_ready_passes_every_check() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    world.smtp =
        SmtpServer::start_with(SmtpOptions { encryption: Encryption::StartTls, ..SmtpOptions::default() }).await;
    let (redis_url, admin_url) = careful_redis(&world.redis).await;
    world.set("REDIS_URL", &redis_url);
    let restored = Postgres::start().await;

    let one = Installation::start(world, &admin_url, &restored.url()).await;
    install(one.folder.path()).await;
    let data = one.world.redis.folder().display().to_string();
    let mut tar = Command::new("tar");
    tar.args(["-C", &data, "-cf"]).arg(one.folder.path().join("examhall-redis.tar")).arg("appendonlydir");
    // 1: a file has grown while it was read, since both programs go on.
    assert!(tar.status().await.expect("tar").code().is_some_and(|code| code <= 1));
    for command in checks() {
        // A check gives each server some seconds, and a machine that runs a hundred tests may take longer for once.
        let deadline = Instant::now() + if command.contains(" check") { TIMEOUT } else { Duration::ZERO };
        let mut output = one.run(&command).await;
        while !output.status.success() && Instant::now() < deadline {
            output = one.run(&command).await;
        }
        assert!(output.status.success(), "{command}\n{}", written(&output));
    }
    assert_eq!(one.world.smtp.wait_for(1).await[0].to, ["you@example.com"]);
}

/// What an installation with every default fails, in the order of the document.
const NOT_READY: &[&str] = &[
    "! api check",
    "! mailer check",
    "examhall-api.service",
    "examhall-mailer.service",
    "-type f",
    "-perm /077",
    "maxmemory-policy",
    "appendonly | grep",
    "maxmemory | grep",
    "NOAUTH",
    "NOPERM",
    "pg_dump",
    "pg_restore",
    "RESTORE_URL\" DATABASE_AUTO_MIGRATE",
    "tar -tf",
    "access-control-allow-origin",
    "SMTP TLS",
];

#[tokio::test]
async fn an_installation_that_is_not_ready_fails_what_it_lacks() {
    let mut world = World::start().await;
    world.redis.cmd::<String>("CONFIG SET maxmemory-policy allkeys-lru").await;
    world.set("CORS_ORIGINS", "https://elsewhere.example");
    let admin_url = world.redis.url();
    let one = Installation::start(world, &admin_url, "sqlite://nowhere.db").await;
    let secret = one.folder.path().join("etc/examhall/credentials/redis_url");
    fs::create_dir_all(secret.parent().expect("a folder")).expect("a folder");
    fs::write(secret, "for everybody to read").expect("a file");
    let checks = checks();
    for lacking in NOT_READY {
        let command = checks.iter().find(|command| command.contains(lacking)).unwrap_or_else(|| panic!("no {lacking}"));
        let output = one.run(command).await;
        assert!(!output.status.success(), "{command} passes:\n{}", written(&output));
    }
}

fn written(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

//! A real Postfix: STARTTLS, login, mailboxes as files.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Process, free_port, smtp::Certificate};

/// Mailboxes belong to `nobody`.
const NOBODY: u32 = 65534;

const MASTER: &str = "\
127.0.0.1:PORT inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix with a folder and a port of its own; ends with the test. Takes mail for `sink.test`, after a login.
pub struct Postfix {
    _process: Process,
    folder: TempDir,
    certificate: Certificate,
    port: u16,
}

impl Postfix {
    /// Starts one. It needs root, as Postfix does.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificate = Certificate::make("IP:127.0.0.1").await;
        let port = free_port();
        lay_out(folder.path(), &certificate.path(), port).await;
        let mut command = Command::new("postfix");
        command.arg("-c").arg(folder.path()).arg("start-fg");
        let process = Process::spawn("postfix", &mut command);
        let address = format!("127.0.0.1:{port}");
        crate::eventually("postfix listens", std::time::Duration::from_mins(1), async || {
            tokio::net::TcpStream::connect(&address).await.ok().map(drop)
        })
        .await;
        Self { _process: process, folder, certificate, port }
    }

    /// As a value of `SMTP_URL`.
    pub fn url(&self) -> String {
        let authority = self.certificate.path();
        format!("smtp://examhall:correct-horse@127.0.0.1:{}?tls=required&ca={}", self.port, authority.display())
    }

    /// The mails that have been delivered, in no order.
    pub fn delivered(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.folder.path().join("mail/inbox/new")) else { return Vec::new() };
        let paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        paths.iter().map(|path| fs::read_to_string(path).expect("a mail")).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("data/mail.log")).unwrap_or_default()
    }
}

async fn lay_out(folder: &Path, certificate: &Path, port: u16) {
    for name in ["spool", "data", "mail", "sasl"] {
        fs::create_dir(folder.join(name)).expect("a folder");
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("ours");
    let postfix = user_id("postfix").await;
    chown(folder.join("data"), Some(postfix), None).expect("this test needs root, as Postfix does");
    chown(folder.join("mail"), Some(NOBODY), Some(NOBODY)).expect("ours");
    let dir = folder.display();
    let key = certificate.with_file_name("key.pem");
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {dir}/spool\ndata_directory = {dir}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmyhostname = mx.sink.test\n\
         mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks =\n\
         maillog_file = {dir}/data/mail.log\nmaillog_file_prefixes = {dir}\nsmtpd_tls_security_level = encrypt\n\
         smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_auth_only = yes\nsmtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd\ncyrus_sasl_config_path = {dir}/sasl\n\
         smtpd_sasl_local_domain = sink.test\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         virtual_mailbox_domains = sink.test\nvirtual_mailbox_base = {dir}/mail\n\
         virtual_mailbox_maps = static:inbox/\nvirtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\n",
        certificate.display(),
        key.display(),
    );
    fs::write(folder.join("main.cf"), main).expect("written");
    fs::write(folder.join("master.cf"), MASTER.replace("PORT", &port.to_string())).expect("written");
    let accounts = folder.join("sasl/accounts");
    let sasl = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
        accounts.display()
    );
    fs::write(folder.join("sasl/smtpd.conf"), sasl).expect("written");
    let line = format!("printf correct-horse | saslpasswd2 -p -c -f '{}' -u sink.test examhall", accounts.display());
    let made = Command::new("sh").args(["-c", &line]).status().await.expect("a shell");
    assert!(made.success(), "saslpasswd2 is missing: run ./scripts/test, which installs it");
    chown(&accounts, Some(postfix), None).expect("ours");
}

async fn user_id(name: &str) -> u32 {
    let found = Command::new("id").args(["-u", name]).output().await.expect("id");
    let text = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| panic!("there is no user {name}: run ./scripts/test, which installs Postfix"))
}

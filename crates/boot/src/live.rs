//! `check --live`: asks the process that runs here whether it is alive. For the health checks of containers, whose image
//! has no curl.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};

use crate::{
    settings::{SettingsArgs, Values},
    start::StartError,
    terminal,
};

/// Time limit of each step: shorter than those of health checks.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest response that is read.
const LIMIT: u64 = 4096;

/// Requests `/healthz` at the ops port that `setting` names, and reads no other setting.
///
/// # Errors
/// Returns [`StartError::Setting`] if the setting cannot be read, and [`StartError::Unavailable`] if no process is alive there.
pub fn check(args: &SettingsArgs, setting: &'static str) -> Result<ExitCode, StartError> {
    let refused = |error| StartError::Setting(anyhow::Error::from(error));
    let values = Values::load(args).map_err(refused)?;
    let address = reachable(values.address(setting).map_err(refused)?);
    if address.port() == 0 {
        return Err(StartError::Setting(anyhow!("{setting} has port 0, so it is unknown which one was chosen")));
    }
    let body = request(address).with_context(|| format!("{address}, which {setting} names"))?;
    let _ = writeln!(std::io::stdout(), "{}", terminal::line(&body)); // stdout may be closed
    Ok(ExitCode::SUCCESS)
}

/// Returns an address at which a process that listens on `bind` is reached from this machine.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => bind.ip(),
    };
    SocketAddr::new(ip, bind.port())
}

fn request(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(LIMIT).read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("no HTTP response")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{}", body.trim());
    Ok(body.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_reached_on_this_machine() {
        for (bind, expected) in
            [("0.0.0.0:9000", "127.0.0.1:9000"), ("[::]:9000", "[::1]:9000"), ("192.0.2.7:9001", "192.0.2.7:9001")]
        {
            let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(reachable(parse(bind)), parse(expected));
        }
    }
}

//! Delivers a mail: by SMTP (RFC 5321), or into a folder.
//!
//! ```text
//!   Transport ── Provider ── Pool ── Session ── Wire      first provider whose circuit is not open
//!       │            ├────── Access, TokenSource          proves who we are: by password or access token
//!       │            ├────── RetryPolicy                  classifies an SMTP error
//!       │            ├────── Evidence                     whose fault: the mail's or the provider's
//!       │            └────── CircuitBreaker               stops sending during an outage
//!       └─────── Folder                                   for development
//! ```
//! A mail takes two steps: [`Transport::begin`], after which a server waits for the message, and
//! [`PendingDelivery::finish`]. What the caller does between the two steps, or during the first one, is done before
//! any byte of the message is sent.
//!
//! lettre provides the message and the commands. Its connection is not used: it hides the server's extensions, so commands
//! could not be pipelined; it keeps reading after STARTTLS what was sent before; and it does not report whether a message
//! was cut off. Nor are its replies, extensions and login: it understands a part of the codes, and keywords in one case. A
//! connection belongs to one mail until the server has replied to the end of data, and is closed whenever its state is in
//! doubt.

mod access;
mod circuit_breaker;
mod connect;
mod delivery;
mod dialogue;
mod ehlo_name;
mod error;
mod evidence;
mod features;
mod folder;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod lease;
mod limits;
mod login;
mod oauth;
mod oauth_parameters;
mod our_trouble;
mod pool;
mod provider;
mod provider_failure;
mod refusals;
mod reply;
mod reply_parser;
mod retry_policy;
mod session;
mod tls;
mod transport;
mod url;
mod wire;

pub(crate) use self::{
    circuit_breaker::CircuitState,
    delivery::{Delivered, DeliveryError, RejectedRecipient},
    ehlo_name::EhloName,
    error::Phase,
    provider::{Provider, ProviderOptions, TRIAL},
    retry_policy::{FailureClass, Suppression},
    session::Timeouts,
    transport::Transport,
};

//! From names to addresses.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Who knows the addresses of a name.
///
/// # Contract
///
/// The implementer returns what it found, in the order in which the addresses are to be tried. It need not look whether they
/// are public: the caller does, connects to exactly the addresses that it looked at, and asks again for each request.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The addresses of a name.
    ///
    /// # Errors
    ///
    /// When nobody could be asked, or nobody knows the name.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

#[async_trait]
impl<T: Lookup + ?Sized> Lookup for Arc<T> {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        (**self).lookup(name).await
    }
}

/// How many lookups the resolver of the machine makes at the same time, for the whole process.
static AT_ONCE: Semaphore = Semaphore::const_new(32);

/// Runs what blocks on a thread for that, when there is a permit. It keeps the permit until it returns: whoever stops waiting for it
/// does not end it.
async fn bounded<T: Send + 'static>(
    permits: &'static Semaphore,
    block: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let permit = permits.acquire().await.map_err(io::Error::other)?;
    let run = move || {
        let output = block();
        drop(permit);
        output
    };
    spawn_blocking(run).await.map_err(io::Error::other)
}

/// The resolver of the machine.
///
/// It blocks a thread of the runtime for each name until there is an answer, which may be long after everybody has stopped
/// waiting. There are at most 32 such threads in a process, so that names whose servers never answer leave the others to those
/// who need them; while all 32 are busy, other names wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = name.to_owned();
        // The port plays no part in the answer.
        let addresses = bounded(&AT_ONCE, move || (name.as_str(), 0).to_socket_addrs()).await??;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

/// A fixed table, for tests and for names that nobody else knows.
#[derive(Clone, Debug, Default)]
pub struct FixedLookup(pub HashMap<String, Vec<IpAddr>>);

#[async_trait]
impl Lookup for FixedLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.get(name).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name is not in the table"))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_lookup_keeps_its_place_until_it_ends() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (end, stalled) = mpsc::channel::<()>();
        let short = Duration::from_millis(50);
        let abandoned = timeout(short, bounded(&ONE, move || stalled.recv())).await;
        assert!(abandoned.is_err());
        assert!(timeout(short, bounded(&ONE, || ())).await.is_err(), "it still has the only place");
        end.send(()).unwrap();
        assert!(timeout(Duration::from_secs(10), bounded(&ONE, || ())).await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn this_machine_has_a_name() {
        let addresses = SystemLookup.lookup("localhost").await.unwrap();
        assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }
}

//! A connection that ends when its client takes nothing of what is written, and that lets a client read the last answer
//! before it closes. Lies below TLS, so that a handshake is held to the same.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// So much has to be taken within the limit, or all that there is: one byte now and then is no progress.
const LEAST_PROGRESS: usize = 4096;
/// How long, and for how many bytes, what a client still sends is read and thrown away after the last answer. A connection
/// that is closed with something unread takes its last answer back.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 8 << 20;

/// Whether an answer went out before its request was read.
#[derive(Clone, Default)]
pub struct Unread(Arc<AtomicBool>);

impl Unread {
    /// It did: the client may still be sending.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that is looked at.
pub struct Progress<S> {
    inner: S,
    limit: Duration,
    unread: Unread,
    timer: Option<Pin<Box<Sleep>>>,
    /// What was taken since a write had to wait; nothing while none waits.
    taken: Option<usize>,
    lingered: Option<usize>,
}

impl<S> Progress<S> {
    /// Ends after `limit` without progress.
    pub fn new(inner: S, limit: Duration, unread: Unread) -> Self {
        Self { inner, limit, unread, timer: None, taken: None, lingered: None }
    }

    fn set_timer(&mut self, after: Duration) {
        let at = Instant::now() + after;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }

    fn note(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => {
                self.taken = self.taken.map(|taken| taken + bytes).filter(|taken| *taken < LEAST_PROGRESS);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.taken.is_none() {
                    self.taken = Some(0);
                    self.set_timer(self.limit);
                }
                if self.is_over(cx) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        self.taken = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingered.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.lingered = Some(0);
            self.set_timer(LINGER);
        }
        let mut scratch = [0_u8; 8192];
        loop {
            let lingered = self.lingered.unwrap_or_default();
            if lingered > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => self.lingered = Some(lingered + buf.filled().len()),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                // Nothing unread is there and nothing is to come.
                Poll::Pending if lingered == 0 && !self.unread.is_set() => return Poll::Ready(Ok(())),
                Poll::Pending if self.is_over(cx) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

//! Tasks that do not outlive whoever waits for them.

/// A task that ends with whoever waits for it.
pub(crate) struct Supervised<T>(pub tokio::task::JoinHandle<T>);

impl<T> Drop for Supervised<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Supervised<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

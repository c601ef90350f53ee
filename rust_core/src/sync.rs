//! What threads share: locks, atomics and threads, of the system or (feature `shuttle`) of a model checker.
//!
//! With the feature, the tests in `tests/rust/interleavings.rs` choose which thread goes on at each lock and each
//! atomic access, and try many orders. Nothing else differs.

#[cfg(not(feature = "shuttle"))]
mod chosen {
    pub(crate) use std::sync::atomic;
    pub use std::thread;

    pub use parking_lot::{Condvar, Mutex, MutexGuard};
}

#[cfg(feature = "shuttle")]
mod chosen {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    pub(crate) use shuttle::sync::atomic;
    pub use shuttle::thread;

    /// A lock with the interface of `parking_lot`, which knows no poison.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Access to what a [`Mutex`] guards. `None` only while a [`Condvar`] waits.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

    /// A way to wait for a change of what a [`Mutex`] guards.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl<T> Mutex<T> {
        /// A free lock.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Wait for the lock and take it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }

        /// What it guards; nobody else can have it.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("taken only during a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("taken only during a wait")
        }
    }

    impl Condvar {
        /// Nobody waits.
        pub fn new() -> Self {
            Self::default()
        }

        /// Let go of the lock, wait to be notified, and take it again.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("taken only during a wait");
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        /// Wake all who wait.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub(crate) use chosen::atomic;
pub use chosen::{Condvar, Mutex, MutexGuard, thread};

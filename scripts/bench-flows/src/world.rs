//! What both contestants can do.

use std::time::Duration;

/// Bytes that go to and fro.
pub(crate) const ECHO_LEN: usize = 64;
/// Bytes that a connection of plain smoltcp buffers each way: what netstack's have when memory is
/// tight.
pub(crate) const BUFFER_LEN: usize = 8 * 1024;
/// Virtual time that an echo takes: acknowledgements are delayed by 1,000 of these.
pub(crate) const ECHO_TIME: Duration = Duration::from_micros(10);
/// Longer than acknowledgements are delayed.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
/// The port that the server listens on.
pub(crate) const SERVER_PORT: u16 = 80;
/// Turns within which an echo is back, with a search for the neighbour.
const TURNS_MAX: usize = 100;

/// Two hosts with connections between them.
pub(crate) trait World {
    /// Opens connections, each of which has echoed once and is quiet.
    fn open(&mut self, flows: usize);
    /// Writes at the client's end of a connection.
    fn send(&mut self, flow: usize, data: &[u8; ECHO_LEN]);
    /// Moves frames to the server, its answer to the client. Returns whether that arrived.
    fn turn(&mut self, flow: usize, answer: &mut [u8; ECHO_LEN]) -> bool;
    /// Frames sent by both ends.
    fn frames(&self) -> usize;

    /// One echo.
    fn echo(&mut self, flow: usize) {
        let (data, mut answer) = ([flow as u8; ECHO_LEN], [0; ECHO_LEN]);
        self.send(flow, &data);
        let arrived = (0..TURNS_MAX).any(|_| self.turn(flow, &mut answer));
        assert!(arrived && answer == data, "the echo is lost");
    }
}

/// The client's port of a connection.
pub(crate) fn client_port(flow: usize) -> u16 {
    const FIRST: usize = 1024;
    u16::try_from(FIRST + flow).expect("one address has 64,512 ports above the reserved ones")
}

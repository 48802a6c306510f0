//! From one stream to another.

use embedded_io_async::{BufRead, Read, Write};

use super::BufReader;

/// Copies all that `reader` has left to `writer`, flushes, and returns how many bytes it was.
///
/// A future that is dropped loses up to 4 KiB that were read and not yet written; with
/// [`copy_buf`], the reader still has them.
///
/// ```no_run
/// # use netasync::{TcpStream, io::copy};
/// # async fn example() -> axerrno::AxResult<()> {
/// let mut from = TcpStream::connect("10.0.2.2:19").await?;
/// let mut to = TcpStream::connect("10.0.2.2:9").await?;
/// let len = copy(&mut from, &mut to).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The reader's, the writer's.
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> Result<u64, R::Error>
where
    R: Read,
    W: Write<Error = R::Error>,
{
    copy_buf(&mut BufReader::new(reader), writer).await
}

/// The same with the reader's own buffer. Dropping the future loses nothing: the copy can go on
/// with the same reader and writer.
///
/// ```no_run
/// # async fn example() -> axerrno::AxResult<()> {
/// # use core::time::Duration;
/// # use netasync::{TcpStream, io::{BufReader, copy_buf}, timeout};
/// let mut from = BufReader::new(TcpStream::connect("10.0.2.2:19").await?);
/// let mut to = TcpStream::connect("10.0.2.2:9").await?;
/// while timeout(Duration::from_secs(1), copy_buf(&mut from, &mut to)).await.is_err() {
///     println!("it goes on");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The reader's, the writer's.
pub async fn copy_buf<R, W>(reader: &mut R, writer: &mut W) -> Result<u64, R::Error>
where
    R: BufRead,
    W: Write<Error = R::Error>,
{
    let mut total = 0;
    loop {
        let data = reader.fill_buf().await?;
        if data.is_empty() {
            break;
        }
        let len = writer.write(data).await?;
        reader.consume(len);
        total += len as u64;
    }
    writer.flush().await?;
    Ok(total)
}

//! Requests and responses, to the byte those of `apps/httpd`.

use std::io;

use bench_http::HEAD_LEN_MAX;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Serves one connection to its end.
pub(crate) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    // A connection on which nothing comes takes no memory.
    stream.readable().await?;
    let (mut input, mut output) = (Vec::with_capacity(HEAD_LEN_MAX), Vec::new());
    while stream.read_buf(&mut input).await? > 0 {
        let is_last = bench_http::answer(&mut input, &mut output);
        let is_last = is_last.map_err(|_| io::ErrorKind::InvalidData)?;
        stream.write_all(&output).await?;
        output.clear();
        if is_last {
            return close(stream).await;
        }
    }
    Ok(())
}

/// RFC 9112 section 9.6: the peer is to see the response before the connection ends.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

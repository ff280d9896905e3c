namespace Notify.Tests.Projections.Net;

using System.Net;
using System.Net.Sockets;
using Notify.Infrastructure.Networking;

public sealed class OutboundGuardTests
{
    [Theory]
    [InlineData("https://push.example.com/x")]
    [InlineData("https://push.example.com:8443/x")]
    [InlineData("https://8.8.8.8/x")]
    [InlineData("https://[2606:4700::6810:84e5]/x")]
    [InlineData("https://bücher.example/x")]
    public void An_https_address_on_the_Internet_may_be_called(string address) =>
        Assert.True(new OutboundGuard(false).Allows(new Uri(address)));

    [Theory]
    [InlineData("http://push.example.com/x")]
    [InlineData("ftp://push.example.com/x")]
    [InlineData("file:///etc/passwd")]
    [InlineData("https://user@push.example.com/x")]
    [InlineData("https://user:secret@push.example.com/x")]
    [InlineData("https://localhost/x")]
    [InlineData("https://localhost./x")]
    [InlineData("https://LOCALHOST/x")]
    [InlineData("https://api.localhost/x")]
    [InlineData("https://database/x")]
    [InlineData("https://127.0.0.1/x")]
    [InlineData("https://127.0.0.1./x")]
    [InlineData("https://127.1/x")]
    [InlineData("https://2130706433/x")]
    [InlineData("https://0x7f000001/x")]
    [InlineData("https://0177.0.0.1/x")]
    [InlineData("https://0/x")]
    [InlineData("https://10.0.0.1/x")]
    [InlineData("https://169.254.169.254/latest/meta-data")]
    [InlineData("https://[::1]/x")]
    [InlineData("https://[::ffff:127.0.0.1]/x")]
    [InlineData("https://[64:ff9b::7f00:1]/x")]
    [InlineData("https://[fd00::1]/x")]
    [InlineData("/relative")]
    public void Any_other_address_may_not(string address) =>
        Assert.False(new OutboundGuard(false).Allows(new Uri(address, UriKind.RelativeOrAbsolute)));

    [Theory]
    [InlineData("http://127.0.0.1:5090/x", true)]
    [InlineData("https://sandbox/x", true)]
    [InlineData("http://user:secret@127.0.0.1/x", false)]
    [InlineData("ftp://127.0.0.1/x", false)]
    public void In_development_private_addresses_and_http_may_be_called(string address, bool may) =>
        Assert.Equal(may, new OutboundGuard(true).Allows(new Uri(address)));

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("10.0.0.1", "192.168.0.1", "fd00::1")]
    [InlineData]
    public async Task A_name_that_leads_into_a_private_network_is_not_connected_to(params string[] addresses)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = Client(new OutboundGuard(false, (_, _) => Task.FromResult(addresses.Select(IPAddress.Parse).ToArray())));

        var error = await Assert.ThrowsAsync<HttpRequestException>(() =>
            client.GetAsync($"http://push.example.com:{Port(listener)}/", TestContext.Current.CancellationToken)
        );

        Assert.IsType<ForbiddenAddressException>(error.InnerException);
        Assert.False(listener.Pending());
    }

    [Fact]
    public async Task A_private_address_that_stands_there_itself_is_not_connected_to()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = Client(new OutboundGuard(false, (_, _) => throw new InvalidOperationException("a literal is not resolved")));

        var error = await Assert.ThrowsAsync<HttpRequestException>(() =>
            client.GetAsync($"http://127.0.0.1:{Port(listener)}/", TestContext.Current.CancellationToken)
        );

        Assert.IsType<ForbiddenAddressException>(error.InnerException);
        Assert.False(listener.Pending());
    }

    [Fact]
    public async Task A_name_is_resolved_once_and_what_was_checked_is_what_is_connected_to()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var asked = 0;
        using var client = Client(
            new OutboundGuard(
                true,
                (_, _) => Task.FromResult(Interlocked.Increment(ref asked) == 1 ? [IPAddress.Loopback] : Array.Empty<IPAddress>())
            )
        );

        var call = client.GetAsync($"http://push.example.com:{Port(listener)}/", TestContext.Current.CancellationToken);
        using var accepted = await listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        await accepted.GetStream().WriteAsync("HTTP/1.1 204 No Content\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.NoContent, (await call).StatusCode);
        Assert.Equal(1, asked);
    }

    [Fact]
    public async Task The_next_address_is_tried_where_one_does_not_answer()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var client = Client(
            new OutboundGuard(true, (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Parse("127.99.99.99"), IPAddress.Loopback]))
        );

        var call = client.GetAsync($"http://push.example.com:{Port(listener)}/", TestContext.Current.CancellationToken);
        using var accepted = await listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        await accepted.GetStream().WriteAsync("HTTP/1.1 204 No Content\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.NoContent, (await call).StatusCode);
    }

    [Fact]
    public async Task A_name_that_is_unknown_is_no_forbidden_one()
    {
        using var client = Client(
            new OutboundGuard(false, (_, _) => Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound)))
        );

        var error = await Assert.ThrowsAsync<HttpRequestException>(() =>
            client.GetAsync("http://push.example.com/", TestContext.Current.CancellationToken)
        );

        Assert.Equal(HttpRequestError.NameResolutionError, error.HttpRequestError);
    }

    private static HttpClient Client(OutboundGuard guard) =>
        new(new SocketsHttpHandler { ConnectCallback = guard.ConnectAsync, UseProxy = false });

    private static int Port(TcpListener listener) => ((IPEndPoint)listener.LocalEndpoint).Port;
}

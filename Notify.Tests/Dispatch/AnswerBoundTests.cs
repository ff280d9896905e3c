namespace Notify.Tests.Dispatch;

using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Http;
using Notify.Dispatch.Providers;
using Notify.Domain.Notifications;
using static Notify.Tests.Dispatch.ScriptedServer;

/// <summary>The bytes read of an answer are limited to what the provider's own answers need.</summary>
public sealed class AnswerBoundTests
{
    private const int Whole = 64 * 1024 * 1024;

    [Theory]
    [InlineData(200)]
    [InlineData(400)]
    [InlineData(503)]
    public async Task Long_answer_is_read_up_to_the_bound_and_the_status_counts(int status)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var written = WriteAsync(listener, status);
        using var client = ProviderCall.CreateClient(new Uri($"http://{listener.LocalEndpoint}"), TimeSpan.FromSeconds(20));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/");
        var (response, _) = await ProviderCall.SendAsync(client, request, TestContext.Current.CancellationToken);
        using (response)
        {
            Assert.Equal(status, (int)response!.StatusCode);
            var body = await response.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
            Assert.Equal(ProviderCall.MaxAnswer, body.Length);
        }

        // The kernel's buffers take some megabytes besides.
        Assert.InRange(await written, ProviderCall.MaxAnswer, Whole / 2);
    }

    [Fact]
    public async Task Answer_that_drips_ends_with_the_time_out()
    {
        await using var server = await Http1Async(
            async (number, context) =>
            {
                await context.Response.WriteAsync("{");
                await context.Response.Body.FlushAsync();
                await Silence(number, context);
            }
        );
        using var client = ProviderCall.CreateClient(server.Url, TimeSpan.FromMilliseconds(300));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new StringContent("x") };
        var (_, outcome) = await ProviderCall.SendAsync(client, request, TestContext.Current.CancellationToken);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.TimedOut), outcome);
    }

    [Fact]
    public async Task Answer_that_breaks_off_is_unknown()
    {
        await using var server = await Http1Async(
            async (_, context) =>
            {
                context.Response.ContentLength = 100;
                await context.Response.WriteAsync("{");
                await context.Response.Body.FlushAsync();
                context.Abort();
            }
        );
        using var client = ProviderCall.CreateClient(server.Url, TimeSpan.FromSeconds(20));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new StringContent("x") };
        var (_, outcome) = await ProviderCall.SendAsync(client, request, TestContext.Current.CancellationToken);
        Assert.Equal(new AttemptOutcome.Unknown(Reasons.ConnectionLost), outcome);
    }

    // Writes until the client hangs up; returns how much it took.
    private static async Task<long> WriteAsync(TcpListener listener, int status)
    {
        using var socket = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        var (piece, count) = (new byte[64 * 1024], 0L);
        try
        {
            await socket.ReceiveAsync(new byte[4096]);
            await socket.SendAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {status} Some\r\nContent-Length: {Whole}\r\n\r\n"));
            for (; count < Whole; count += piece.Length)
                await socket.SendAsync(piece);
        }
        catch (SocketException)
        {
            // It has hung up.
        }

        return count;
    }
}

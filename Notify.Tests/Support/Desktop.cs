namespace Notify.Tests.Support;

using System.Net.Sockets;
using System.Threading.Channels;

/// <summary>A notification as a browser hands it to the desktop.</summary>
public sealed record ShownNotification(uint Id, string Title, string Body);

/// <summary>
/// The desktop that a browser shows its notifications on: as much of D-Bus as Chromium needs to find a notification
/// server, and that server (Desktop Notifications Specification 1.2). A click on it is what a person's click is.
/// </summary>
public sealed class Desktop : IAsyncDisposable
{
    private const string Server = ":1.1000",
        Service = "org.freedesktop.Notifications",
        ServerPath = "/org/freedesktop/Notifications";
    private readonly string name = $"notify-tests-{Guid.NewGuid():N}";
    private readonly Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource stop = new();
    private readonly Channel<(DBusConnection On, ShownNotification What)> shown = Channel.CreateUnbounded<(
        DBusConnection,
        ShownNotification
    )>();
    private readonly Task accepting;
    private int connections;
    private uint notifications;

    /// <summary>Starts to listen.</summary>
    public Desktop()
    {
        listener.Bind(new UnixDomainSocketEndPoint("\0" + name));
        listener.Listen();
        accepting = AcceptAsync();
    }

    /// <summary>The value of <c>DBUS_SESSION_BUS_ADDRESS</c> that the browser must be started with.</summary>
    public string Address => $"unix:abstract={name}";

    /// <summary>Waits for the next notification; <c>click</c> clicks it.</summary>
    public async Task<(ShownNotification What, Func<Task> Click)> NextAsync()
    {
        var (on, what) = await shown.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Eventually.Patience);
        return (
            what,
            () =>
                on.SendAsync(
                    new DBusMessage(DBusMessage.Signal, "ActionInvoked", "us", new DBusBody().Number(what.Id).Text("default"))
                    {
                        Path = ServerPath,
                        Interface = Service,
                        Sender = Server,
                    }
                )
        );
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        listener.Dispose();
        await accepting;
        stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        var serving = new List<Task>();
        try
        {
            while (true)
                serving.Add(ServeAsync(new DBusConnection(await listener.AcceptAsync(stop.Token), $":1.{++connections}")));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(serving);
        }
    }

    private async Task ServeAsync(DBusConnection connection)
    {
        using (connection)
        {
            try
            {
                await connection.AuthenticateAsync(stop.Token);
                while (await connection.ReadAsync(stop.Token) is { } call)
                {
                    if (call.Type == DBusMessage.Call)
                        await AnswerAsync(connection, call);
                }
            }
            catch (Exception e) when (e is OperationCanceledException or IOException or SocketException)
            {
                // The browser has gone, or the test has ended.
            }
        }
    }

    private async Task AnswerAsync(DBusConnection connection, DBusMessage call)
    {
        var asked = call.Signature?.StartsWith('s') == true ? call.Body.ReadText() : "";
        switch (call.Member)
        {
            case "Hello":
                await ReplyAsync("s", new DBusBody().Text(connection.Name));
                break;
            case "NameHasOwner":
                await ReplyAsync("b", new DBusBody().Number(asked == Service ? 1u : 0u));
                break;
            case "GetNameOwner" when asked == Service:
                await ReplyAsync("s", new DBusBody().Text(Server));
                break;
            case "GetCapabilities":
                await ReplyAsync("as", new DBusBody().Texts("actions", "body", "persistence"));
                break;
            case "GetServerInformation":
                await ReplyAsync("ssss", new DBusBody().Text("tests").Text("Notify").Text("1").Text("1.2"));
                break;
            case "Notify":
                var replaces = call.Body.ReadNumber();
                call.Body.ReadText(); // the icon
                var what = new ShownNotification(replaces != 0 ? replaces : ++notifications, call.Body.ReadText(), call.Body.ReadText());
                await ReplyAsync("u", new DBusBody().Number(what.Id));
                shown.Writer.TryWrite((connection, what));
                break;
            case "AddMatch" or "RemoveMatch" or "CloseNotification":
                await ReplyAsync(null, new DBusBody());
                break;
            default:
                await connection.SendAsync(
                    new DBusMessage(DBusMessage.Error, null, null, new DBusBody())
                    {
                        ErrorName = "org.freedesktop.DBus.Error.ServiceUnknown",
                        ReplySerial = call.Serial,
                        Destination = connection.Name,
                        Sender = "org.freedesktop.DBus",
                    }
                );
                break;
        }

        Task ReplyAsync(string? signature, DBusBody body) =>
            connection.SendAsync(
                new DBusMessage(DBusMessage.Return, null, signature, body)
                {
                    ReplySerial = call.Serial,
                    Destination = connection.Name,
                    Sender = call.Destination == Service ? Server : "org.freedesktop.DBus",
                }
            );
    }
}

namespace Notify.Api.Contract;

using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Marten;
using Wolverine.Marten;

/// <summary>How many requests, and how many bytes of them, may wait to be accepted: <c>Notify:Accept</c>.</summary>
public sealed record AcceptOptions
{
    /// <summary>Requests that may wait for their commit at once; more are answered 503. A client has at most half.</summary>
    public int MaxWaiting { get; init; } = 10_000;

    /// <summary>Bytes of request bodies that are held at once; more are answered 503. 0: a 32nd of the memory, 16 to 256 MiB.</summary>
    public long MaxBytes { get; init; }

    /// <summary>How long a request waits for its commit before it is answered 503.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Checks the settings; every fault is added to <paramref name="faults"/>.</summary>
    public void Check(string section, ICollection<string> faults)
    {
        if (MaxWaiting < 1)
            faults.Add($"{section}:MaxWaiting is {MaxWaiting}; give 1 or more");
        if (MaxBytes < 0)
            faults.Add($"{section}:MaxBytes is {MaxBytes}; give 0 (by the memory) or more");
        if (Timeout <= TimeSpan.Zero)
            faults.Add($"{section}:Timeout is {Timeout}; give a time above zero");
    }
}

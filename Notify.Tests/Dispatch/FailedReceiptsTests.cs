namespace Notify.Tests.Dispatch;

using System.Net;
using Microsoft.AspNetCore.Http;
using Notify.Dispatch.Receipts;
using Notify.Infrastructure.Hosting;

/// <summary>Posts that are refused are bounded for each address.</summary>
public sealed class FailedReceiptsTests
{
    [Fact]
    public void Address_whose_posts_were_refused_too_often_is_refused_unread_and_others_are_not()
    {
        using var failed = new FailedReceipts(new AddressLimit { PerSecond = 1, Burst = 3 });
        var (attacker, provider) = (From("203.0.113.7"), From("203.0.113.8"));
        for (var i = 0; i < 3; i++)
        {
            Assert.False(failed.IsOver(attacker));
            failed.Count(attacker);
        }

        // Each second returns one: a caller that goes on uses it up.
        for (var i = 0; i < 100 && !failed.IsOver(attacker); i++)
            failed.Count(attacker);
        Assert.True(failed.IsOver(attacker));
        Assert.False(failed.IsOver(provider));
    }

    [Fact]
    public void Limit_of_zero_is_none()
    {
        using var failed = new FailedReceipts(new AddressLimit { PerSecond = 0, Burst = 1 });
        var http = From("203.0.113.7");
        for (var i = 0; i < 1000; i++)
            failed.Count(http);
        Assert.False(failed.IsOver(http));
    }

    private static DefaultHttpContext From(string address)
    {
        var http = new DefaultHttpContext();
        http.Connection.RemoteIpAddress = IPAddress.Parse(address);
        return http;
    }
}

namespace Notify.Tests.Api;

using System.Text.Json;
using Notify.Api.Contract;
using Notify.Api.Notifications;

/// <summary>However many faults a request has, an answer lists a hundred.</summary>
public sealed class FaultListTests
{
    [Fact]
    public void Body_of_many_faults_lists_a_hundred_and_tells_the_number_of_the_others()
    {
        var fields = string.Join(',', Enumerable.Range(0, 20_000).Select(i => $"\"f{i}\":1"));
        using var body = JsonDocument.Parse($"{{{fields}}}");

        var errors = RequestBody.Bind<RequestNotification>(body.RootElement, null, out var value)!;

        Assert.Null(value);
        Assert.Equal(101, errors.Count);
        Assert.Equal(["and 19900 more"], errors["$"]);
        Assert.Same(errors, FaultList.Bound(errors)); // once is enough
    }

    [Fact]
    public void Hundred_faults_are_all_listed()
    {
        var errors = Enumerable.Range(0, 50).ToDictionary(i => $"f{i}", _ => new[] { "one", "two" });
        Assert.Same(errors, FaultList.Bound(errors));
        errors["g"] = ["three"];
        var bound = FaultList.Bound(errors);
        Assert.Equal((51, "and 1 more"), (bound.Count, bound["$"].Single()));
    }
}

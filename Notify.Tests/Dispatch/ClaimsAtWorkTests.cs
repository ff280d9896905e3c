namespace Notify.Tests.Dispatch;

using Notify.Dispatch.Dispatching;

public sealed class ClaimsAtWorkTests
{
    private readonly ClaimsAtWork claims = new();
    private readonly Guid claim = Guid.NewGuid();

    [Fact]
    public async Task A_claim_of_which_one_outcome_could_not_be_written_is_given_up_when_the_others_have_come()
    {
        var slow = new TaskCompletionSource<bool>();
        claims.Begin(claim);
        var finishing = claims.FinishAsync(claim, [Task.FromResult(true), Task.FromResult(false), slow.Task]);
        Assert.Equal(claim, Assert.Single(claims.Active));
        Assert.Equal(0, claims.GivenUp);

        slow.SetResult(true);
        await finishing;
        Assert.Empty(claims.Active);
        Assert.Equal(1, claims.GivenUp);
    }

    [Fact]
    public async Task A_claim_that_is_settled_is_not_given_up()
    {
        claims.Begin(claim);
        await claims.FinishAsync(claim, [Task.FromResult(true), Task.FromResult(true)]);
        Assert.Empty(claims.Active);
        Assert.Equal(0, claims.GivenUp);
    }

    [Fact]
    public async Task A_claim_whose_call_fails_is_given_up()
    {
        claims.Begin(claim);
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            claims.FinishAsync(claim, [Task.FromResult(true), Task.FromException<bool>(new InvalidOperationException())])
        );
        Assert.Empty(claims.Active);
        Assert.Equal(1, claims.GivenUp);
    }
}

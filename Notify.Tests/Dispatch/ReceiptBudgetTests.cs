namespace Notify.Tests.Dispatch;

using Notify.Dispatch.Receipts;

public sealed class ReceiptBudgetTests
{
    [Fact]
    public void Posts_are_turned_away_while_their_bytes_do_not_fit()
    {
        var budget = new ReceiptBudget(100);
        Assert.True(budget.TryReserve(60));
        Assert.False(budget.TryReserve(50));
        Assert.True(budget.TryReserve(40));
        budget.Release(60);
        Assert.True(budget.TryReserve(50));
    }

    [Fact]
    public void One_post_alone_is_taken_however_large()
    {
        var budget = new ReceiptBudget(100);
        Assert.True(budget.TryReserve(500));
        Assert.False(budget.TryReserve(1));
        budget.Release(500);
        Assert.True(budget.TryReserve(1));
    }
}

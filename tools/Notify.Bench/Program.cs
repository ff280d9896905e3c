using Notify.Bench;

if (!BenchSettings.TryRead(args, out var settings, out var fault))
{
    Console.Error.WriteLine($"notify-bench: {fault}");
    return 78;
}

return await new BenchRun(settings).RunAsync();

namespace Notify.Delivery.Erasures;

using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

/// <summary>Adds what erases people.</summary>
public static class ErasureServices
{
    /// <summary>Adds the finder, the eraser and the log of erasures.</summary>
    public static IServiceCollection AddErasures(this IServiceCollection services, IConfiguration configuration) =>
        services
            .AddSingleton(s => ErasureLog.Read(configuration, s.GetRequiredService<TimeProvider>()))
            .AddSingleton<PersonFinder>()
            .AddSingleton<PersonEraser>();
}

// What a page needs: a service worker, the person's permission, a subscription, and a backend that keeps it.
const state = document.querySelector('#state');
const registration = await navigator.serviceWorker.register('sw.js');
await navigator.serviceWorker.ready;
state.textContent = 'ready';

document.querySelector('#subscribe').addEventListener('click', async () => {
  try {
    if (await Notification.requestPermission() !== 'granted') {
      state.textContent = 'Notifications are not allowed for this site; they can be in the browser’s site settings.';
      return;
    }

    const subscription = await registration.pushManager.subscribe({
      userVisibleOnly: true,
      applicationServerKey: await (await fetch('vapid-public-key')).text(),
    });
    const kept = await fetch('subscriptions', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(subscription),
    });
    state.textContent = 'subscribed; your backend sends this to POST /v1/users/{userId}/devices:';
    document.querySelector('#subscription').textContent = JSON.stringify(await kept.json(), null, 2);
  } catch (error) {
    state.textContent = `The browser could not subscribe: ${error.message}`;
  }
});

// The service worker tells an open page what was clicked; the page goes there by itself.
navigator.serviceWorker.addEventListener('message', ({ data }) => {
  if (data.type !== 'clicked') return;
  const item = document.createElement('li');
  item.textContent = `${data.deliveryId}: ${data.url ?? 'no address'}`;
  document.querySelector('#clicked').append(item);
  if (data.url) location.assign(data.url);
});

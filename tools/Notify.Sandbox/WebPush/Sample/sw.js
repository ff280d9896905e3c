// What a service worker needs: show a push message, and lead to its address when it is clicked.
self.addEventListener('install', event => event.waitUntil(self.skipWaiting()));
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

// A message is JSON: title, body, url, data (as far as it has them), deliveryId and tag. With the tag, a message that
// comes twice shows once. A browser insists that each push shows something.
self.addEventListener('push', event => {
  const message = event.data?.json() ?? {};
  event.waitUntil(self.registration.showNotification(message.title ?? 'News', {
    body: message.body,
    tag: message.tag,
    data: { url: message.url, deliveryId: message.deliveryId, ...message.data },
  }));
});

self.addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(open(event.notification.data));
});

async function open({ url, deliveryId }) {
  const [page] = await self.clients.matchAll({ type: 'window' });
  if (!page) return self.clients.openWindow(url ?? './');
  page.postMessage({ type: 'clicked', url, deliveryId });
  return page.focus();
}

// A browser may replace a subscription; the backend must learn the new one.
self.addEventListener('pushsubscriptionchange', event => event.waitUntil((async () => {
  const subscription = event.newSubscription ?? await self.registration.pushManager.subscribe(event.oldSubscription.options);
  await fetch('subscriptions', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(subscription),
  });
})()));

import { describe, expect, test } from 'vitest';
import { isAtLeast, parseNatsUrl, redactUrl } from '../../internal/jetstream/connection.js';

describe('redactUrl leaves addresses and takes credentials', () => {
  test.each([
    ['nats://127.0.0.1:4222', 'nats://127.0.0.1:4222'],
    ['nats://user:hunter2@a.example:4222', 'nats://a.example:4222'],
    ['user:hunter2@a.example', 'a.example'],
    ['nats://hunter2@a.example', 'nats://a.example'],
    ['tls://user:hunter2%40x@a', 'tls://a'],
    ['nats://user:hunter2@a,nats://user:hunter2@b', 'nats://a,nats://b'],
    ['nats://a:1,user:hunter2@b:2,c:3', 'nats://a:1,b:2,c:3'],
    ['nats://user:hun@ter2@a', 'nats://a'],
    ['nats://[::1]:4222', 'nats://[::1]:4222'],
    ['', ''],
  ])('%s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });
});

describe('parseNatsUrl', () => {
  test.each<[string, ReturnType<typeof parseNatsUrl>]>([
    ['nats://127.0.0.1:4222', { servers: ['nats://127.0.0.1:4222'] }],
    ['nats://127.0.0.1:4222/', { servers: ['nats://127.0.0.1:4222'] }],
    ['localhost', { servers: ['localhost'] }],
    ['nats://a:1,nats://b:2/,c', { servers: ['nats://a:1', 'nats://b:2', 'c'] }],
    ['nats://user:pass@a:1', { servers: ['nats://a:1'], user: 'user', pass: 'pass' }],
    ['user:pass@a', { servers: ['a'], user: 'user', pass: 'pass' }],
    ['nats://user:@a', { servers: ['nats://a'], user: 'user', pass: '' }],
    ['nats://user:pa:ss@a', { servers: ['nats://a'], user: 'user', pass: 'pa:ss' }],
    ['nats://u%40x:p%2C%2F%25%C3%A4@a', { servers: ['nats://a'], user: 'u@x', pass: 'p,/%ä' }],
    ['nats://to%6ben@a', { servers: ['nats://a'], token: 'token' }],
    ['nats://user:pass@a,nats://b', { servers: ['nats://a', 'nats://b'], user: 'user', pass: 'pass' }],
    ['nats://a,nats://user:pass@b', { servers: ['nats://a', 'nats://b'], user: 'user', pass: 'pass' }],
    ['tls://a', { servers: ['tls://a'], tls: {} }],
    ['nats://a,tls://user:pass@b', { servers: ['nats://a', 'tls://b'], user: 'user', pass: 'pass', tls: {} }],
    ['nats://[::1]:4222', { servers: ['nats://[::1]:4222'] }],
  ])('%s', (url, options) => {
    expect(parseNatsUrl(url)).toEqual(options);
  });
});

describe('isAtLeast', () => {
  test.each<[boolean, string, number[]]>([
    [true, '2.10.0', [2, 10]],
    [true, '2.10.27', [2, 10]],
    [true, '2.15.1', [2, 10]],
    [true, '2.100.0', [2, 10]],
    [true, '3.0.0', [2, 10]],
    [true, '10.0.0', [2, 10]],
    [true, '2.12.0-RC.1', [2, 10]],
    [true, '2.11.0-dev', [2, 10]],
    [true, '2.10', [2, 10]],
    [false, '2.9.25', [2, 10]],
    [false, '2.1.10', [2, 10]],
    [false, '1.99.99', [2, 10]],
    [false, '0.0.0', [2, 10]],
    [true, '2.11.5', [2, 11, 5]],
    [true, '2.11.10', [2, 11, 5]],
    [true, '2.12.0', [2, 11, 5]],
    [false, '2.11.4', [2, 11, 5]],
    [false, '2.11', [2, 11, 5]],
    [false, '2', [2, 10]],
    [false, 'unknown', [2, 10]],
    [false, '', [2, 10]],
    [false, 'two.ten', [2, 10]],
  ])('%s for %s and %j', (enough, version, wanted) => {
    expect(isAtLeast(version, wanted)).toBe(enough);
  });
});

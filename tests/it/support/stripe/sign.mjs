// Prints what Stripe's own SDK signs: the header of a payload, under a secret, at an instant.
import { readFileSync } from 'node:fs';
import Stripe from 'stripe';

const [file, secret, timestamp] = process.argv.slice(2);
const payload = readFileSync(file, 'utf8');
const stripe = new Stripe('sk_test_none');
process.stdout.write(stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: Number(timestamp) }));
